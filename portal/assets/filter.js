// The key "/" puts the cursor into the filter; lines of a log are filtered while one types.
const field = document.querySelector("[data-filter-key]");
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select")) return;
  event.preventDefault();
  field.focus();
  field.select();
});
const log = document.querySelector(".log");
if (log && field.matches("[data-filter-lines]")) {
  const apply = (line) => {
    const wanted = field.value.trim().toLowerCase();
    line.hidden = wanted !== "" && !line.querySelector(".text").textContent.toLowerCase().includes(wanted);
  };
  const all = () => {
    for (const line of log.children) apply(line);
    log.scrollTop = log.scrollHeight;
  };
  field.addEventListener("input", all);
  new MutationObserver((changes) => {
    for (const change of changes) for (const line of change.addedNodes) if (line.matches?.("li")) apply(line);
  }).observe(log, { childList: true });
}
