/* The room Settings: every public setting with what it means, its bounds and its default; saved as soon as it is
   changed, by an admin for everybody and by anybody else for themselves. */
(() => {
  "use strict";
  const { h, icon, glide } = window.atelierTools;
  const { button, choice, search, who, presence, DRAWINGS } = window.atelierKit;
  const SECTIONS = {
    model: "Models", prompts: "Prompts", networks: "Networks", saving: "Saving", preview: "Previews", sampling: "Sampling",
    upscaling: "Enlarging and faces", serving: "Serving", hub: "Model hub", general: "General",
  };
  const SAID = 3000;
  const section = (key) => SECTIONS[key] || key.charAt(0).toUpperCase() + key.slice(1);
  const shown = (value) => (value === true ? "on" : value === false ? "off" : value === "" ? "empty" : String(value));

  /** One setting; `save(key, value)` answers with it as it is then, or throws why not; `sift` looks again at what is
      shown. */
  function make(first, admin, save, sift) {
    let row = first, later = 0;
    const id = `setting_${row.key}`;
    const field = control(row, id);
    const said = h("p.saved", { role: "status" });
    const wrong = h("p.wrong", { id: `${id}_wrong`, role: "alert", hidden: "" });
    const back = button("", "undo", () => put(null), { kind: "back" });
    const mark = h("span.mark", { title: "Changed" });
    const scope = h("span.scope");
    const bounds = h("span.bounds");
    const notes = h("p.notes-line", { id: `${id}_about` }, bounds, scope, h("code", {}, row.key));
    const node = h("li.setting", { "data-key": row.key },
      h("div.words", {}, h("label", { for: id }, mark, h("span", {}, row.label)), row.help ? h("p.help", {}, row.help) : null, notes, wrong),
      h("div.value", {}, h("div.line", {}, field.node), h("div.line.after", {}, said, back)));
    field.input.setAttribute("aria-describedby", `${id}_about ${id}_wrong`);

    async function put(value) {
      clearTimeout(later);
      wrong.hidden = true;
      field.input.removeAttribute("aria-invalid");
      try {
        const complaint = value === null ? "" : field.complaint();
        if (complaint) throw new Error(complaint);
        row = await save(row.key, value);
        update(row, true);
        sift();
        said.textContent = "Saved";
        document.dispatchEvent(new CustomEvent("atelier:setting", { detail: row.key }));
        later = setTimeout(() => { said.textContent = ""; }, SAID);
      } catch (error) {
        said.textContent = "";
        wrong.textContent = error.message;
        wrong.hidden = false;
        field.input.setAttribute("aria-invalid", "true");
      }
    }
    field.input.addEventListener("change", () => put(field.read()));

    function update(next, own = false) {
      row = next;
      // What somebody is typing is theirs until they are done with it.
      if (own || document.activeElement !== field.input) field.write(row);
      field.input.disabled = !row.changeable;
      const changed = row.own || row.value !== row.default;
      node.classList.toggle("changed", changed);
      mark.hidden = !changed;
      back.hidden = !(row.changeable && changed && (admin || row.own));
      back.lastChild.textContent = row.own ? "Back to everybody's" : `Back to ${shown(row.default)}`;
      const bounded = row.minimum !== null && row.maximum !== null;
      bounds.textContent = bounded ? `${row.minimum} to ${row.maximum}, default ${shown(row.default)}` : `default ${shown(row.default)}`;
      scope.textContent = row.own ? "yours alone" : row.changeable ? (row.scope === "admin" ? "for admins" : "") : row.scope === "admin" ? "only admins change this" : "guests change nothing";
      scope.hidden = !scope.textContent;
    }
    update(first, true);
    const text = [row.key, row.label, row.help, row.section, section(row.section), ...(row.choices || [])].join(" ").toLowerCase();
    return { node, update, get changed() { return node.classList.contains("changed"); }, section: row.section, fits: (words) => words.every((word) => text.includes(word)) };
  }

  /** The input for a setting of that type: `node` to show, `read`, `write`, and what is wrong with what was typed. */
  function control(row, id) {
    if (row.type === "boolean") {
      const input = h("input.switch", { type: "checkbox", role: "switch", id });
      return { node: input, input, read: () => input.checked, write: (now) => { input.checked = now.value; }, complaint: () => "" };
    }
    if (row.choices) {
      const input = h("select.kit-field", { id });
      const spoken = row.key === "localization" ? window.atelierLanguage.NAMES : {};
      const write = (now) => {
        const words = now.choices.includes(now.value) ? now.choices : [now.value, ...now.choices];
        input.replaceChildren(...words.map((word) => h("option", { value: word }, spoken[word] || word || "By itself")));
        input.value = now.value;
      };
      return { node: input, input, read: () => input.value, write, complaint: () => "" };
    }
    if (row.type === "string") {
      const input = h("input.kit-field", { type: "text", id, autocomplete: "off", spellcheck: "false" });
      return { node: input, input, read: () => input.value, write: (now) => { input.value = now.value; }, complaint: () => "" };
    }
    const input = h("input.kit-field.number", { type: "number", id, min: row.minimum, max: row.maximum, step: row.type === "integer" ? 1 : "any", inputmode: row.type === "integer" ? "numeric" : "decimal" });
    const complaint = () => {
      if (input.value === "" || Number.isNaN(input.valueAsNumber)) return "A number is needed here.";
      return row.type === "integer" && !Number.isInteger(input.valueAsNumber) ? "A whole number is needed here." : "";
    };
    return { node: input, input, read: () => input.valueAsNumber, write: (now) => { input.value = now.value; }, complaint };
  }

  async function build(element, room) {
    const me = await who(room);
    const admin = me.role === "admin";
    const rows = new Map();
    const groups = new Map();
    let words = [], only = "all";

    const find = search("Search settings", (text) => { words = text.toLowerCase().split(/\s+/).filter(Boolean); sift(); });
    const which = choice("Which settings", [["all", "All"], ["changed", "Changed"]], "all", (value) => { only = value; sift(); });
    const about = me.role === "guest" ? "Guests look at the settings and change none." : admin ? (me.open ? "" : "What you change here holds for everybody.") : "What you change here holds for you alone.";
    const nothing = h("p.kit-nothing", { hidden: "", role: "status" }, "No setting is called that.");
    const places = h("nav.places", { "aria-label": "Groups of settings" });
    const all = h("div.groups");
    element.append(h("header.kit-head", {}, h("h2", {}, "Settings"), h("div.kit-acts", {}, find, which)), about ? h("p.kit-note", {}, icon(DRAWINGS.pen), h("span", {}, about)) : "",
      h("div.frame", {}, places, h("div", {}, all, nothing)));

    const save = (key, value) => room.api(`settings/${encodeURIComponent(key)}`, { method: "PUT", body: { value } });

    function group(key) {
      if (!groups.has(key)) {
        const list = h("ul");
        const node = h("section", { "aria-label": section(key) }, h("h3", {}, section(key)), list);
        const count = h("span.count");
        const jump = h("button", { type: "button", onclick: () => {
          glide(node, "start");
          node.querySelector("input, select")?.focus({ preventScroll: true });
        } }, h("span", {}, section(key)), count);
        groups.set(key, { node, list, jump, count });
        all.append(node);
        places.append(jump);
      }
      return groups.get(key);
    }

    /** Show what is searched for. */
    function sift() {
      let any = false;
      for (const [key, { node, jump, count }] of groups) {
        const mine = [...rows.values()].filter((row) => row.section === key);
        mine.forEach((row) => { row.node.hidden = !row.fits(words) || (only === "changed" && !row.changed); });
        const some = mine.some((row) => !row.node.hidden);
        node.hidden = jump.hidden = !some;
        any = any || some;
        const changed = mine.filter((row) => row.changed).length;
        count.textContent = changed || "";
        count.title = changed ? `${changed} changed` : "";
      }
      nothing.hidden = any;
      nothing.textContent = only === "changed" && !words.length ? "Everything is as it came." : "No setting is called that.";
    }

    async function renew() {
      try {
        const { settings } = await room.api("settings?limit=1000");
        for (const row of settings) {
          if (rows.has(row.key)) rows.get(row.key).update(row);
          else {
            rows.set(row.key, make(row, admin, save, sift));
            group(row.section).list.append(rows.get(row.key).node);
          }
        }
        room.say("");
        sift();
      } catch (error) {
        room.say(error.message, true);
      }
    }
    presence("settings", renew, () => null);
  }

  window.atelierRooms.add("settings", build);
})();
