/* The log in the room System, for admins: its last lines as they come, by gravity and by word. */
(() => {
  "use strict";
  if (window.atelierLog) return;
  const { h, icon, ICONS, copy } = window.atelierTools;
  const { button, choice, search, attempt, DRAWINGS } = window.atelierKit;
  const MOST = 500;
  const LEVELS = [["info", "All"], ["warning", "Warnings"], ["error", "Errors"]];
  const WORDS = { debug: "Detail", info: "Note", warning: "Warning", error: "Error", critical: "Error" };

  function make(room) {
    const state = { since: 0, level: "info", text: "", asked: 0 };
    const list = h("ol");
    const box = h("div.log-lines", { role: "log", "aria-live": "off", "aria-label": "Lines of the log", tabindex: 0 }, list);
    const nothing = h("p.kit-nothing", { hidden: "" });
    const count = h("span.count", { role: "status" });
    const down = button("To the newest line", "M12 5v13M6 13l6 6 6-6", () => { box.scrollTop = box.scrollHeight; }, { kind: "newest", hidden: "" });
    const find = search("Search the log", (text) => { state.text = text; anew(); });
    const grave = choice("Which lines", LEVELS, "info", (level) => { state.level = level; anew(); });
    const copied = button("Copy these lines", ICONS.copy, async () => {
      await copy([...list.children].map((node) => node.dataset.text).join("\n"));
      copied.lastChild.textContent = "Copied";
      setTimeout(() => { copied.lastChild.textContent = "Copy these lines"; }, 1600);
    });
    const node = h("section.wide.log", { "aria-label": "Log" },
      h("header.kit-head", {}, h("h3", {}, "Log"), h("div.kit-acts", {}, count, find, grave, copied)),
      h("div.log-frame", {}, box, down), nothing);

    const low = () => box.scrollHeight - box.scrollTop - box.clientHeight < 40;

    function row(line) {
      const clock = new Date(line.time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
      const part = line.logger.replace(/^modules\./, "");
      const text = `${line.time} ${line.level.toUpperCase()} ${line.logger} ${line.message}${line.error ? `\n${line.error}` : ""}`;
      const about = line.job_id ? h("span.about", { title: line.job_id }, `job ${line.job_id.slice(0, 8)}`) : null;
      const trace = line.error ? h("details", {}, h("summary", {}, "Where it happened"), h("pre", { translate: "no" }, line.error)) : null;
      return h(`li.${line.level}`, { "data-text": text },
        h("time", { datetime: line.time }, clock), h("span.grave", {}, ["error", "critical", "warning"].includes(line.level) ? icon(DRAWINGS.wrong) : null, h("span", {}, WORDS[line.level] || line.level)),
        h("div.said-line", {}, h("span.message", { translate: "no" }, line.message), h("span.part", { translate: "no" }, part), about, trace));
    }

    /** What has come since the last look; the view stays where somebody has scrolled to. */
    async function renew() {
      const turn = ++state.asked;
      const told = await room.api(`log?level=${state.level}&since=${state.since}&text=${encodeURIComponent(state.text)}`);
      if (turn !== state.asked) return;
      const follows = low() || !list.children.length;
      state.since = told.last;
      list.append(...told.lines.map(row));
      while (list.children.length > MOST) list.firstChild.remove();
      if (follows && told.lines.length) box.scrollTop = box.scrollHeight;
      const lines = list.children.length;
      box.hidden = copied.hidden = !lines;
      nothing.hidden = lines > 0;
      nothing.textContent = state.text ? "No line holds these words." : state.level === "info" ? "Nothing was written yet." : "Nothing of that kind: all is well.";
      count.textContent = lines === 1 ? "1 line" : lines ? `${lines} lines` : "";
      down.hidden = low();
    }
    function anew() {
      state.since = 0;
      list.replaceChildren();
      attempt(room, renew);
    }
    box.addEventListener("scroll", () => { down.hidden = low(); }, { passive: true });
    return { node, renew };
  }

  window.atelierLog = make;
})();
