/* A sound and a notification of the browser when the last of one's jobs has ended, for those who want them. The choice
   is this browser's; leave for notifications is asked for when somebody chooses them. */
(() => {
  "use strict";
  if (window.atelierNotices) return;
  const { h, icon, ICONS } = window.atelierTools;
  const KEPT = "atelier-notices";
  const BELL = "M6 10a6 6 0 0 1 12 0c0 5 2 6 2 7H4c0-1 2-2 2-7zM10 20a2 2 0 0 0 4 0";
  const wanted = { sound: false, notice: false, ...JSON.parse(localStorage.getItem(KEPT) ?? "{}") };
  let speaker = null;
  let ended = "";

  const keep = () => localStorage.setItem(KEPT, JSON.stringify(wanted));

  /** Two soft notes, the second a fifth above the first. A browser may keep quiet until the page was touched once. */
  function ring() {
    speaker = speaker || new AudioContext();
    speaker.resume();
    const begin = speaker.currentTime + 0.02;
    for (const [after, pitch] of [[0, 587.33], [0.16, 880]]) {
      const note = new OscillatorNode(speaker, { frequency: pitch });
      const loud = new GainNode(speaker, { gain: 0 });
      loud.gain.setValueAtTime(0, begin + after);
      loud.gain.linearRampToValueAtTime(0.16, begin + after + 0.02);
      loud.gain.exponentialRampToValueAtTime(0.001, begin + after + 0.5);
      note.connect(loud).connect(speaker.destination);
      note.start(begin + after);
      note.stop(begin + after + 0.5);
    }
  }

  /** Show a notification of the browser. False where it has none to show: on some phones only installed pages may. */
  function post(sentence) {
    try {
      const shown = new Notification("Atelier", { body: sentence, tag: "atelier", icon: new URL("studio/logo.svg", document.baseURI).href });
      shown.onclick = () => { window.focus(); shown.close(); };
      return true;
    } catch (error) {
      if (error instanceof TypeError) return false;
      throw error;
    }
  }

  /** Why there can be no notifications, or nothing. */
  function hindrance() {
    if (!("Notification" in window) || !isSecureContext) return "Browsers show notifications only for pages at a safe address: https, or on this very machine.";
    if (Notification.permission === "denied") return "The browser forbids notifications of this page. Its own settings can allow them.";
    return "";
  }

  document.addEventListener("atelier:told", ({ detail: { told } }) => {
    // What a job said last may be said again.
    if (told.job === ended || !["done", "failed"].includes(told.phase) || told.waiting) return;
    ended = told.job;
    if (wanted.sound) ring();
    const seen = !document.hidden && document.hasFocus();
    if (wanted.notice && !seen && !hindrance()) post(told.phase === "done" ? "Your picture is finished." : told.error || "Your job did not work.");
  });

  function row(words, hint, key, onchange) {
    const box = h("input", { type: "checkbox" });
    box.checked = wanted[key];
    box.addEventListener("change", () => onchange(box));
    return [h("label.row", {}, box, h("span", {}, h("b", {}, words), h("small", {}, hint))), box];
  }

  function choose() {
    const said = h("p.said", { role: "status", hidden: "" });
    const say = (sentence) => { said.textContent = sentence; said.hidden = !sentence; };
    const take = (key, yes) => { wanted[key] = yes; keep(); };
    const [sound] = row("Sound", "Two notes, wherever the page is.", "sound", (box) => {
      take("sound", box.checked);
      if (box.checked) ring();
    });
    const [notice, mark] = row("Notification", "Of the browser, while you look at something else.", "notice", async (box) => {
      if (!box.checked) return take("notice", false);
      if (await Notification.requestPermission() === "granted" && post("This is how you will hear of finished pictures.")) {
        say("");
        return take("notice", true);
      }
      box.checked = false;
      say(hindrance() || "This browser shows no notifications of pages.");
      return take("notice", false);
    });
    mark.disabled = Boolean(hindrance());
    mark.checked = mark.checked && !mark.disabled;
    say(hindrance());
    const box = h("dialog.aid.notices", { "aria-labelledby": "atelier_notices_title" },
      h("header", {}, h("h2", { id: "atelier_notices_title" }, "When pictures are finished"),
        h("button.bare", { type: "button", "aria-label": "Close", onclick: () => box.close() }, icon(ICONS.close))),
      sound, notice, said);
    box.addEventListener("close", () => box.remove());
    box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
    document.body.append(box);
    box.showModal();
  }

  window.atelierNotices = {
    /** The button that opens the choice. */
    button: () => h("button.bare", { type: "button", "aria-label": "Sound and notification", title: "Sound and notification", "aria-haspopup": "dialog", onclick: choose }, icon(BELL)),
  };
})();
