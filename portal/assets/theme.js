// Light and dark: the system's choice until the button is used, then what was chosen, remembered in a cookie so that
// the next page comes in the right colours. Also: an open menu closes by Escape and by a click beside it, and what lies
// behind it is out of reach.
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
for (const button of document.querySelectorAll("[data-theme-switch]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const now = root.dataset.theme || (dark.matches ? "dark" : "light");
    const next = now === "dark" ? "light" : "dark";
    root.dataset.theme = next;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `micro-theme=${next}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  });
}
const menus = document.querySelectorAll("details.switcher");
const main = document.querySelector("main");
for (const menu of menus) {
  menu.addEventListener("toggle", () => (main.inert = [...menus].some((one) => one.open)));
}
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of menus) {
    if (!menu.open) continue;
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
document.addEventListener("click", (event) => {
  for (const menu of menus) if (!menu.contains(event.target)) menu.open = false;
});
