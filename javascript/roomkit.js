/* What the rooms beside Create are furnished with: buttons, fields, keyed lists, times and sizes in words, questions,
   and the line on which the studio tells what happens to jobs. Knows no room. */
(() => {
  "use strict";
  if (window.atelierKit) return;
  const { h, icon } = window.atelierTools;

  const DRAWINGS = {
    up: "M12 19V6M6 11l6-6 6 6",
    front: "M12 20V9M7 13l5-5 5 5M5 4h14",
    stop: "M7 7h10v10H7z",
    pause: "M9 6v12M15 6v12",
    play: "M8 5l11 7-11 7z",
    skip: "M6 5l9 7-9 7zM18 5v14",
    again: "M20 11a8 8 0 1 0-2.3 6.3M20 4v7h-7",
    pen: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
    mark: "M7 4h10v16l-5-4-5 4z",
    grip: "M9 6h.01M15 6h.01M9 12h.01M15 12h.01M9 18h.01M15 18h.01",
    bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
    clock: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4l3 2",
    wrong: "M12 4 2.5 20h19zM12 10v4M12 17h.01",
    undo: "M4 9h11a5 5 0 0 1 0 10H8M4 9l4-4M4 9l4 4",
    plus: "M12 5v14M5 12h14",
    out: "M14 4h6v6M20 4l-9 9M11 6H5v13h13v-6",
  };

  /** A button with words, or with `bare` only their drawing; the words stay its name and its tool tip. */
  function button(words, drawing, onclick, { bare = false, kind = "", ...more } = {}) {
    const look = `button.kit-button${bare ? ".plain" : ""}${kind ? `.${kind}` : ""}`;
    const named = bare ? { "aria-label": words, title: words } : {};
    return h(look, { type: "button", onclick, ...named, ...more }, drawing ? icon(DRAWINGS[drawing] || drawing) : null,
      bare ? null : h("span", {}, words));
  }

  /** One of several, as a row of buttons. `choices` are pairs of value and word. */
  function choice(label, choices, chosen, onchoose) {
    const buttons = choices.map(([value, word]) => h("button", { type: "button", "aria-pressed": value === chosen, onclick: () => {
      buttons.forEach((one, at) => one.setAttribute("aria-pressed", choices[at][0] === value));
      onchoose(value);
    } }, word));
    return h("div.kit-choice", { role: "group", "aria-label": label }, ...buttons);
  }

  /** A field to search with; `onsearch` hears of it when somebody pauses. */
  function search(label, onsearch) {
    let later = 0;
    const field = h("input.kit-field", { type: "search", placeholder: label, "aria-label": label, autocomplete: "off", spellcheck: "false" });
    field.addEventListener("input", () => {
      clearTimeout(later);
      later = setTimeout(() => onsearch(field.value.trim()), 160);
    });
    return field;
  }

  /** A list whose rows stay the same elements while their data change, so that focus and scrolling stay where they are.
      `make(item)` answers with `{node, update(item)}`, and
      perhaps with `gone`, which is called when the item is no more. */
  function list(container, key, make) {
    const rows = new Map();
    return {
      rows,
      draw(items) {
        const wanted = items.map((item) => {
          const id = key(item);
          if (!rows.has(id)) rows.set(id, make(item));
          const row = rows.get(id);
          row.update(item);
          return row.node;
        });
        const ids = new Set(items.map(key));
        for (const id of rows.keys()) {
          if (ids.has(id)) continue;
          rows.get(id).node.remove();
          rows.get(id).gone?.();
          rows.delete(id);
        }
        wanted.forEach((node, at) => {
          // Moving a node takes the focus away from it, so those in their place are left alone.
          if (container.children[at] !== node) container.insertBefore(node, container.children[at] || null);
        });
      },
    };
  }

  /** Seconds in words, as exact as they are worth. */
  function span(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 100) return `${whole} s`;
    const minutes = Math.round(whole / 60);
    if (minutes < 90) return `${minutes} min`;
    const hours = Math.floor(minutes / 60);
    return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.round(hours / 24)} d`;
  }

  /** A moment as somebody would say it today. */
  function moment(text) {
    const then = new Date(text);
    const clock = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const today = new Date().toDateString() === then.toDateString();
    return today ? clock : `${then.toLocaleDateString([], { day: "numeric", month: "short", year: then.getFullYear() === new Date().getFullYear() ? undefined : "numeric" })}, ${clock}`;
  }

  /** Bytes in the unit that fits. */
  function bytes(number) {
    const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    const at = number < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log(number) / Math.log(1024)));
    const value = number / 1024 ** at;
    return `${value.toLocaleString([], { maximumFractionDigits: at && value < 100 ? 1 : 0 })} ${units[at]}`;
  }

  /** Ask before something that cannot be taken back; true when the button `yes` was pressed. */
  function ask(sentence, yes) {
    return new Promise((done) => {
      const box = h("dialog.kit-ask", { "aria-label": sentence }, h("p", {}, sentence), h("form", { method: "dialog" },
        h("button.kit-button", { value: "" }, h("span", {}, "Leave it")),
        h("button.kit-button.main", { value: "yes" }, h("span", {}, yes))));
      box.addEventListener("close", () => { box.remove(); done(box.returnValue === "yes"); });
      document.body.append(box);
      box.showModal();
    });
  }

  /** Run what a press asked for; what goes wrong is said in the room, what went well is said for a while. */
  async function attempt(room, action, well = "") {
    clearTimeout(room.later);
    try {
      const answer = await action();
      room.say(well);
      if (well) room.later = setTimeout(() => room.say(""), 4000);
      return answer ?? true;
    } catch (error) {
      room.say(error.message, true);
      return null;
    }
  }

  /** Who looks, asked once: `{name, role, open}`. */
  let asked = null;
  function who(room) {
    asked = asked || room.api("session").catch((error) => { asked = null; throw error; });
    return asked;
  }

  /** Follow what happens to jobs, until `stop` is called. `hear` gets each event, previews with a `blob`; `lost` is told
      whether the line is broken, and a broken one is tried again. */
  function follow({ owner, hear, lost }) {
    let socket = null, ended = false, pause = 1000, later = 0;
    const address = new URL("api/v1/ws", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    if (owner) address.searchParams.set("owner", owner);

    function begin() {
      socket = new WebSocket(address);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => { pause = 1000; lost(false); };
      socket.onmessage = ({ data }) => hear(typeof data === "string" ? JSON.parse(data) : unpacked(data));
      socket.onclose = () => {
        if (ended) return;
        lost(true);
        later = setTimeout(begin, pause);
        pause = Math.min(pause * 2, 15000);
      };
    }
    begin();
    return { stop() { ended = true; clearTimeout(later); socket.close(); } };
  }

  /** A binary frame: the length of its head as four bytes, the head as JSON, the picture. */
  function unpacked(data) {
    const length = new DataView(data).getUint32(0);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    return { ...head, blob: new Blob([new Uint8Array(data, 4 + length)]) };
  }

  /** Call `enter` whenever the room comes into sight and `leave` when it goes out of it. */
  function presence(name, enter, leave) {
    let here = false;
    const look = () => {
      const now = window.atelierRooms.now() === name && !document.hidden;
      if (now === here) return;
      here = now;
      (now ? enter : leave)();
    };
    document.addEventListener("atelier:room", look);
    document.addEventListener("visibilitychange", look);
    look();
  }

  window.atelierKit = { button, choice, search, list, span, moment, bytes, ask, attempt, who, follow, presence, DRAWINGS };
})();
