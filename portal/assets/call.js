// Calls without loading the page again, and "copy as" with what stands in the form.
const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const requestOf = (form) => {
  const whole = form.querySelector("[data-kind=whole]");
  if (whole) return whole.value.trim() || "{}";
  const request = {};
  for (const field of form.querySelectorAll("[data-kind]")) {
    const name = field.name.slice(2);
    const text = field.value;
    if (text.trim() === "") continue;
    if (field.dataset.kind === "text") request[name] = text;
    else if (field.dataset.kind === "bool") request[name] = text === "true";
    else if (/^-?\d{16,}$/.test(text.trim())) request[name] = text.trim();
    else {
      try {
        request[name] = JSON.parse(text);
      } catch {
        request[name] = text;
      }
    }
  }
  return JSON.stringify(request);
};

const problems = (form, key, text) => {
  for (const field of form.querySelectorAll("[data-kind]")) {
    const wrong = field.name === key;
    const shown = document.getElementById(`${field.id}-problem`);
    field.toggleAttribute("aria-invalid", wrong);
    if (wrong) field.setAttribute("aria-invalid", "true");
    if (!shown) continue;
    shown.hidden = !wrong;
    shown.querySelector("span").textContent = wrong ? text.replaceAll("`", "") : "";
    if (wrong) {
      field.setAttribute("aria-describedby", shown.id);
      field.focus();
    }
  }
};

for (const form of document.querySelectorAll("[data-call]")) {
  const box = form.parentElement.querySelector("[data-reply]");
  const button = form.querySelector("button.primary");
  form.addEventListener("input", () => {
    const request = shell(requestOf(form));
    for (const copy of form.querySelectorAll("[data-copy-as]"))
      copy.dataset.copy = form.dataset[copy.dataset.copyAs] + request;
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-busy")) return;
    button.setAttribute("aria-busy", "true");
    button.textContent = "Calling";
    problems(form, "", "");
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        headers: { Accept: "application/json" },
        body: new URLSearchParams(new FormData(form)),
      });
      const told = await answer.json();
      if (told.problem) problems(form, told.field, told.problem);
      else if (told.html) box.innerHTML = told.html;
      else box.textContent = answer.status === 401 ? "The session has ended. Load the page again and log in." : told.detail;
    } catch {
      box.textContent = "The portal does not answer. Try again.";
    } finally {
      button.removeAttribute("aria-busy");
      button.textContent = "Call";
    }
  });
}
