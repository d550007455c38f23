// What comes while the page is open: lines of a log, states of a deployment, statistics.
const LINES_MAX = 5000;
const shown = document.querySelector("[data-live-state]");
const say = (state, text) => {
  if (!shown) return;
  shown.hidden = false;
  if (shown.dataset.state === state) return;
  shown.dataset.state = state;
  shown.textContent = text;
};

const log = document.querySelector(".log");
if (log) log.scrollTop = log.scrollHeight;

const part = (name, text, className) => {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.textContent = text;
  return element;
};

const add = (line) => {
  const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  document.querySelector("[data-live-empty]")?.remove();
  const row = document.createElement("li");
  if (line.level) row.dataset.level = line.level;
  const time = part("time", line.clock);
  time.dateTime = line.stamp;
  time.title = line.exact;
  row.append(time);
  const word = line.stage || line.level;
  if (word) row.append(part("span", word, "level"));
  row.append(part("span", line.message, "text"));
  log.append(row);
  while (log.children.length > LINES_MAX) log.firstElementChild.remove();
  if (follows) log.scrollTop = log.scrollHeight;
};

if (log?.dataset.live) {
  document.querySelector("[data-live-refresh]")?.setAttribute("hidden", "");
  say("wait", "Connecting");
  const source = new EventSource(log.dataset.live);
  source.addEventListener("open", () => say("live", "Live"));
  source.addEventListener("line", (event) => add(JSON.parse(event.data)));
  source.addEventListener("state", (event) => {
    // Rendered by the server, with everything escaped.
    document.querySelector("[data-live-body]").innerHTML = JSON.parse(event.data).html;
  });
  source.addEventListener("end", () => {
    source.close();
    say("done", "Finished");
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) say("paused", "Stopped. Load the page again");
    else say("paused", "Paused, reconnecting");
  });
}

const refreshed = document.querySelector("[data-refresh]");
if (refreshed) {
  const again = async () => {
    if (!document.hidden) {
      try {
        const answer = await fetch(refreshed.dataset.refresh, { headers: { Accept: "application/json" } });
        if (!answer.ok) throw new Error(String(answer.status));
        refreshed.innerHTML = (await answer.json()).html;
        say("live", "Live");
      } catch {
        say("paused", "Paused, reconnecting");
      }
    }
    setTimeout(again, Number(refreshed.dataset.refreshSeconds) * 1000);
  };
  setTimeout(again, Number(refreshed.dataset.refreshSeconds) * 1000);
}
