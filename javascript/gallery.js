/* The Gallery: everything ever made, searched, narrowed, marked, and sent back to work. The grid is `gallery-grid.js`,
   the viewer `gallery-viewer.js`. */
(() => {
  "use strict";
  const { h, icon, ICONS, parts: taken } = window.atelierTools;
  const parts = window.atelierGallery = window.atelierGallery || {};
  parts.BIN = "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10 11v6M14 11v6";
  const MOST = 1000, UNDO_SECONDS = 12, TYPED = 250, DAY = 86400e3;
  const TIMES = [["", "Any time"], ["1", "Last day"], ["7", "Last week"], ["30", "Last month"], ["365", "Last year"]];

  window.atelierRooms.add("gallery", async (element, room) => {
    const me = await room.api("me").catch(() => ({}));
    const may = me.role !== "guest" || null;  // null is no child of an element
    const picked = new Set();
    const wanted = { text: "", model: "", sampler: "", size: "", kind: "", days: "", favourite: false, binned: false };
    let anchor = 0, stale = false;

    const attempt = async (does) => {
      try { room.say(""); return await does(); } catch (error) { room.say(error.message, true); return null; }
    };
    const part = (row, what) => new URL(`api/v1/pictures/${row.id}/${what}`, document.baseURI).href;

    /* ---- asking ---- */
    function query(skip, limit, after) {
      const ask = new URLSearchParams({ skip, limit, after });
      for (const key of ["text", "model", "sampler", "kind"]) if (wanted[key]) ask.set(key, wanted[key]);
      if (wanted.size) { const [width, height] = wanted.size.split("x"); ask.set("width", width); ask.set("height", height); }
      if (wanted.days) ask.set("since", new Date(Date.now() - wanted.days * DAY).toISOString());
      if (wanted.favourite) ask.set("favourite", "true");
      if (wanted.binned) ask.set("binned", "true");
      return ask;
    }
    async function ask(skip, limit, after) {
      const told = await room.api(`pictures?${query(skip, limit, after)}`);
      for (const row of told.pictures) row.prompt = taken(row.infotext).prompt.slice(0, 300);
      return told;
    }

    /* ---- the bar ---- */
    const search = h("input.search", { type: "search", placeholder: "Search prompts and parameters", "aria-label": "Search prompts and parameters", enterkeyhint: "search" });
    let typing = 0;
    search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => { wanted.text = search.value.trim(); narrow(); }, TYPED); });
    const choice = (name, label, options = []) => {
      const field = h("select", { "aria-label": label, onchange: () => { wanted[name] = field.value; narrow(); } }, ...options.map(([value, word]) => h("option", { value }, word)));
      return field;
    };
    const fields = { model: choice("model", "Model"), sampler: choice("sampler", "Sampler"), size: choice("size", "Size"),
      kind: choice("kind", "Kind", [["", "Pictures and films"], ["still", "Pictures"], ["film", "Films"]]), days: choice("days", "Time", TIMES) };
    const toggle = (name, label, path) => {
      const node = h(`button.chip.${name}`, { type: "button", "aria-pressed": false, onclick: () => {
        wanted[name] = !wanted[name];
        node.setAttribute("aria-pressed", wanted[name]);
        narrow();
      } }, icon(path), h("span", {}, label));
      return node;
    };
    const filters = h("div.filters", { role: "group", "aria-label": "Show only" }, toggle("favourite", "Favourites", parts.HEART),
      fields.model, fields.sampler, fields.size, fields.kind, fields.days, may && toggle("binned", "Bin", parts.BIN));
    const clear = h("button.quiet", { type: "button", hidden: "", onclick: reset }, "Show everything");
    const emptying = h("button.quiet", { type: "button", hidden: "", onclick: () => sure(emptying, async () => {
      await room.api("pictures/bin/empty", { method: "POST" });
      await renew();
    }) }, "Empty the bin");
    const counted = h("p.count", { role: "status" });
    const when = h("span.when", { "aria-hidden": "true" });
    const bar = h("header.bar-of-gallery", {}, h("div.top", {}, search, filters), h("div.line", {}, counted, when, emptying, clear));

    async function facets() {
      const told = await room.api("pictures/facets");
      const fill = (field, every, options, kept) => {
        field.replaceChildren(h("option", { value: "" }, every), ...options.map(([value, word]) => h("option", { value }, word)));
        field.value = kept;
        field.hidden = options.length < 2 && !kept;
      };
      fill(fields.model, "All models", told.models.map((one) => [one.name, one.name]), wanted.model);
      fill(fields.sampler, "All samplers", told.samplers.map((one) => [one.name, one.name]), wanted.sampler);
      fill(fields.size, "All sizes", told.sizes.map((one) => [`${one.width}x${one.height}`, `${one.width} × ${one.height}`]), wanted.size);
      fields.kind.hidden = !told.films && !wanted.kind;
    }
    const narrowed = () => Object.entries(wanted).some(([, value]) => value);
    function reset() {
      for (const key of Object.keys(wanted)) wanted[key] = typeof wanted[key] === "boolean" ? false : "";
      search.value = "";
      for (const field of Object.values(fields)) field.value = "";
      for (const node of filters.querySelectorAll("button")) node.setAttribute("aria-pressed", false);
      narrow();
    }
    async function narrow() {
      unpick();
      clear.hidden = !narrowed();
      scrollTo({ top: 0 });
      await attempt(() => grid.reset());
    }
    const renew = () => attempt(async () => { await Promise.all([grid.reset(true), facets()]); });

    /* ---- what stands where nothing is found ---- */
    const none = h("div.empty", { hidden: "" });
    function emptiness(total) {
      none.hidden = total > 0;
      if (total) return;
      const [head, text] = wanted.binned ? ["The bin is empty", "What you delete waits here for a while, and can be put back."]
        : narrowed() ? ["Nothing found", "No picture of yours fits all of this. Try fewer words or filters."]
          : ["No pictures yet", "Everything you make is kept here, with all that it was made with."];
      const way = narrowed() ? h("button.act", { type: "button", onclick: reset }, "Show everything")
        : h("button.act.main", { type: "button", onclick: () => window.atelierRooms.go("txt2img") }, "Make the first one");
      none.replaceChildren(icon(ICONS.easel), h("h2", {}, head), h("p", {}, text), way);
    }

    /* ---- the grid ---- */
    const list = h("div.cells", { role: "list", "aria-label": "Pictures" });
    const grid = parts.grid(list, {
      ask, picked, selects: true, thumb: (row) => part(row, "thumbnail?side=320"), failed: (error) => room.say(error.message, true),
      open: (index) => viewer.open(index), pick, key,
      seen(row, total) {
        const said = [h("b", {}, total.toLocaleString()), " ", h("span", {}, total === 1 ? "picture" : "pictures")];
        if (counted.dataset.total !== String(total)) { counted.replaceChildren(...said); counted.dataset.total = total; }
        when.textContent = row ? new Date(row.created).toLocaleDateString(undefined, { day: "numeric", month: "long", year: "numeric" }) : "";
        emptying.hidden = !(wanted.binned && total);
        emptiness(total);
      },
    });
    function key(event, index) {
      const row = grid.row(index);
      if (!row || event.metaKey || (event.ctrlKey && event.key !== "a")) return;
      const ids = picked.size ? [...picked] : [row.id];
      const does = { " ": () => pick(index, "toggle"), f: () => may && favourite(ids, !row.favourite), Delete: () => may && bin(ids),
        Escape: unpick, c: comparing, a: () => event.ctrlKey && all() }[event.key];
      if (!does) return;
      event.preventDefault();
      does();
    }
    function pick(index, how) {
      const row = grid.row(index);
      if (!row) return;
      if (how === "range") {
        const [low, high] = [Math.min(anchor, index), Math.max(anchor, index)];
        for (let at = low; at <= high && picked.size < MOST; at += 1) if (grid.row(at)) picked.add(grid.row(at).id);
      } else {
        if (!picked.delete(row.id) && picked.size < MOST) picked.add(row.id);
        anchor = index;
      }
      marked();
    }
    function all() {
      for (const row of grid.rows()) if (row && picked.size < MOST) picked.add(row.id);
      marked();
    }
    function unpick() { picked.clear(); marked(); }

    /** The chosen pictures in the order of the grid, where there are enough and not too many to be compared. */
    const comparable = () => {
      const rows = grid.rows().filter((row) => row && picked.has(row.id) && !row.media_type.startsWith("video/"));
      return rows.length > 1 && rows.length <= parts.MOST_COMPARED && rows.length === picked.size ? rows : null;
    };
    function comparing() {
      const rows = comparable();
      if (rows) compare.open(rows);
    }

    /* ---- what is done with several ---- */
    const number = h("b", {}, "0");
    const doing = (label, path, does, kind = "") => h(`button.act${kind}`, { type: "button", onclick: does }, icon(path), h("span", {}, label));
    const away = doing("Delete", parts.BIN, () => bin([...picked]));
    const back = doing("Put back", ICONS.recall, () => restore([...picked]));
    const forever = doing("Delete for good", ICONS.close, () => sure(forever, () => destroy([...picked])));
    const beside = doing("Compare", parts.COMPARE, comparing);
    const tray = h("div.tray", { role: "toolbar", "aria-label": "Selection", hidden: "" }, h("p", { role: "status" }, number, " ", h("span", {}, "selected")),
      may && doing("Favourite", parts.HEART, () => favourite([...picked], [...picked].some((id) => !(grid.rows().find((row) => row && row.id === id) || {}).favourite))),
      beside, doing("Download", ICONS.save, () => pack([...picked])), may && away, may && back, may && forever,
      h("button.act", { type: "button", onclick: unpick, "aria-label": "Clear the selection" }, icon(ICONS.close)));
    function marked() {
      tray.hidden = !picked.size;
      list.classList.toggle("picking", picked.size > 0);
      number.textContent = picked.size.toLocaleString();
      away.hidden = wanted.binned;
      back.hidden = forever.hidden = !wanted.binned;
      beside.hidden = !comparable();
      grid.draw();
    }

    const mark = (ids, body) => room.api("pictures", { method: "PATCH", body: { ids, ...body } });
    const favourite = (ids, on) => attempt(async () => {
      await mark(ids, { favourite: on });
      if (wanted.favourite && !on) grid.remove(new Set(ids)); else grid.change(new Set(ids), { favourite: on });
    });
    const taken_away = (ids) => { ids.forEach((id) => picked.delete(id)); grid.remove(new Set(ids)); marked(); };
    const bin = (ids) => attempt(async () => {
      await mark(ids, { binned: true });
      taken_away(ids);
      offer(ids);
    });
    const restore = (ids) => attempt(async () => { await mark(ids, { binned: false }); taken_away(ids); });
    const destroy = async (ids) => {
      for (const id of ids) await room.api(`pictures/${id}`, { method: "DELETE" });
      taken_away(ids);
    };
    /** A second press does what cannot be undone. */
    function sure(button, does) {
      const label = button.lastChild.nodeType === Node.TEXT_NODE ? button : button.lastChild;
      if (button.dataset.sure) { delete button.dataset.sure; label.textContent = button.dataset.said; return attempt(does); }
      button.dataset.sure = "yes";
      button.dataset.said = label.textContent;
      label.textContent = "Really delete?";
      setTimeout(() => { if (button.dataset.sure) { delete button.dataset.sure; label.textContent = button.dataset.said; } }, 4000);
    }
    const pack = (ids) => attempt(async () => {
      const answer = await fetch(new URL("api/v1/pictures/zip", document.baseURI), { method: "POST", body: JSON.stringify({ ids }), headers: { "Content-Type": "application/json" } });
      if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).detail || "The pictures could not be packed.");
      const href = URL.createObjectURL(await answer.blob());
      h("a", { href, download: "pictures.zip" }).click();
      setTimeout(() => URL.revokeObjectURL(href), 60000);
    });

    const undo = h("div.undo", { role: "status", hidden: "" });
    let offered = 0;
    function offer(ids) {
      clearTimeout(offered);
      undo.replaceChildren(h("span", {}, "Put into the bin."), h("button.act", { type: "button", onclick: () => {
        undo.hidden = true;
        attempt(async () => { await mark(ids, { binned: false }); await grid.reset(true); });
      } }, icon(ICONS.recall), h("span", {}, "Undo")));
      (document.querySelector("dialog.gallery-viewer[open]") || element).append(undo);
      undo.hidden = false;
      offered = setTimeout(() => { undo.hidden = true; }, UNDO_SECONDS * 1000);
    }

    /* ---- sending on ---- */
    const create = (word, data) => { window.atelierRooms.go("txt2img"); scrollTo({ top: 0 }); window.atelier.send(word, data); };
    const viewer = parts.viewer({
      may, favourite, bin, restore, at: grid.at, total: grid.total,
      address: (row, download) => part(row, download ? "file?download=true" : "file"),
      use: (row, only) => create("recall", only ? { id: row.id, only } : { id: row.id }),
      enlarge: (row) => create("enlarge", { id: row.id }),
      again: (row) => attempt(async () => {
        await room.api(`jobs/${row.job_id}/requeue`, { method: "POST" });
        create("attach", {});
        return true;
      }),
      closed(index) { if (undo.parentNode !== element) element.append(undo); grid.go(index); },
    });

    const compare = parts.compare({ address: (row) => part(row, "file"), closed: () => tray.querySelector("button:not([hidden])")?.focus() });

    /** An address like #gallery/ID opens that picture; how many are newer says where it stands. */
    async function reach() {
      const [, id] = location.hash.split("/");
      if (!id) return;
      history.replaceState(null, "", "#gallery");
      await attempt(async () => {
        if (narrowed()) reset();
        const { created } = await room.api(`pictures/${id}`);
        const { total } = await room.api(`pictures?${new URLSearchParams({ since: created, limit: 1 })}`);
        for (let at = total - 1; at >= Math.max(0, total - 16); at -= 1) {
          if ((await grid.at(at))?.id === decodeURIComponent(id)) return viewer.open(at);
        }
        throw new Error("This picture is not in the gallery any more.");
      });
    }

    element.append(bar, none, list, tray, undo);
    document.addEventListener("atelier:pictures", () => {
      if (window.atelierRooms.now() !== "gallery") { stale = true; return; }
      if (scrollY < 200 && !picked.size && !document.querySelector("dialog[open]")) renew();
    });
    await attempt(() => Promise.all([grid.reset(), facets()]));
    await reach();
    return { async opened() {
      grid.draw();
      if (stale) { stale = false; await renew(); }
      await reach();
    } };
  });
})();
