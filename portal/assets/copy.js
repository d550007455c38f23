// Buttons that copy. They stay hidden where nothing can be copied.
if (navigator.clipboard) {
  const show = () => {
    for (const button of document.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
  };
  show();
  new MutationObserver(show).observe(document.body, { childList: true, subtree: true });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const label = button.querySelector("span");
    const before = button.dataset.label ?? label.textContent;
    button.dataset.label = before;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      label.textContent = "Copied";
    } catch {
      label.textContent = "Copying is not allowed";
    }
    clearTimeout(button.timer);
    button.timer = setTimeout(() => (label.textContent = before), 2000);
  });
}
