/* The gallery's grid: of very many pictures only the rows in sight are elements, and only the pages in sight are asked
   for. Pages are cut from one beginning, so that what is drawn meanwhile moves nothing under the person's hand. */
(() => {
  "use strict";
  const { h, icon } = window.atelierTools;
  const parts = window.atelierGallery = window.atelierGallery || {};
  const PAGE = 100, GAP = 8, BEYOND = 2, SETTLED = 90, HELD = 450;
  const HEART = "M12 20S4 15 4 9.5A4.2 4.2 0 0 1 12 7.6 4.2 4.2 0 0 1 20 9.5C20 15 12 20 12 20z";
  const FILM = "M9 6l9 6-9 6z";
  parts.HEART = HEART;

  /** `given`: ask(skip, limit, after) answers with a page; open(index), pick(index, how), key(event, index), seen(). */
  parts.grid = (box, given) => {
    let rows = [], total = 0, beginning = 0, round = 0, focus = 0, columns = 1, side = 160, timer = 0;
    const asked = new Set(), nodes = new Map();
    const picked = given.picked;

    const need = (page) => {
      if (asked.has(page)) return Promise.resolve();
      asked.add(page);
      const mine = round;
      return given.ask(page * PAGE, PAGE, beginning).then((told) => {
        if (mine !== round) return;
        if (!beginning) beginning = told.beginning;
        total = told.total;
        told.pictures.forEach((row, at) => { rows[page * PAGE + at] = row; });
        draw();
      }, (error) => { if (mine === round) { asked.delete(page); given.failed(error); } });
    };

    /** From the top again, with whatever `ask` now answers. */
    async function reset(keep = false) {
      round += 1;
      rows = []; beginning = 0;
      asked.clear();
      for (const node of nodes.values()) node.remove();
      nodes.clear();
      if (!keep) focus = 0;
      await need(0);
      if (keep) draw();
    }

    function cell(index) {
      const row = rows[index];
      const image = row && h("img", { src: given.thumb(row), alt: "", decoding: "async", draggable: "false" });
      if (image) image.addEventListener("error", () => cellNode.classList.add("gone"));
      const show = h("button.pic", { type: "button", translate: row && row.prompt ? "no" : null, "aria-label": row ? row.prompt || "Picture" : "Loading", title: row ? row.prompt : null }, image,
        row && row.media_type.startsWith("video/") ? h("span.film", {}, icon(FILM)) : null,
        h("span.heart", { hidden: row && row.favourite ? null : "" }, icon(HEART)));
      const pick = given.selects && row ? h("button.pick", { type: "button", tabindex: -1, "aria-label": "Select" }, icon("M6 12l4 4 8-8")) : null;
      const cellNode = h("div.cell", { role: "listitem", "aria-setsize": total, "aria-posinset": index + 1, "data-index": index, "data-id": row ? row.id : null }, show, pick);
      dress(cellNode, row);
      return cellNode;
    }

    function dress(node, row) {
      const on = Boolean(row && picked.has(row.id));
      node.classList.toggle("picked", on);
      const pick = node.querySelector(".pick");
      if (pick) pick.setAttribute("aria-pressed", on);
    }

    const span = () => {
      const top = box.getBoundingClientRect().top;
      const line = side + GAP;
      const first = Math.max(0, Math.floor(-top / line) - BEYOND) * columns;
      const last = Math.min(total, (Math.ceil((innerHeight - top) / line) + BEYOND) * columns);
      return [first, Math.max(first, last)];
    };

    function draw() {
      const wide = box.clientWidth;
      if (!wide) return;
      columns = Math.max(wide < 520 ? 3 : 2, Math.floor((wide + GAP) / (168 + GAP)));
      side = (wide - GAP * (columns - 1)) / columns;
      const height = Math.max(0, Math.ceil(total / columns) * (side + GAP) - GAP);
      box.style.height = `${height}px`;
      const [first, last] = span();
      for (const [index, node] of nodes) {
        const stale = index < first || index >= last || (rows[index] && !node.dataset.id);
        if (index >= total || (stale && !(node.contains(document.activeElement) && node.dataset.id))) { node.remove(); nodes.delete(index); }
      }
      for (let index = first; index < last; index += 1) {
        if (!nodes.has(index)) { const node = cell(index); nodes.set(index, node); box.append(node); }
      }
      for (const [index, node] of nodes) {
        const x = (index % columns) * (side + GAP), y = Math.floor(index / columns) * (side + GAP);
        node.style.transform = `translate(${x}px, ${y}px)`;
        node.style.width = node.style.height = `${side}px`;
        node.firstChild.tabIndex = index === focus ? 0 : -1;
        dress(node, rows[index]);
      }
      if (!nodes.has(focus) && nodes.size) nodes.get(Math.min(...nodes.keys())).firstChild.tabIndex = 0;
      given.seen(rows[Math.min(total - 1, first + BEYOND * columns)] || null, total);
      clearTimeout(timer);
      // While somebody drags the scroll bar through years, nothing in between is asked for.
      timer = setTimeout(() => {
        for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1) need(page);
      }, SETTLED);
    }

    let frame = 0;
    const soon = () => { if (!frame) frame = requestAnimationFrame(() => { frame = 0; if (box.isConnected) draw(); }); };
    addEventListener("scroll", soon, { passive: true });
    new ResizeObserver(soon).observe(box);

    /** Bring the keyboard to that picture, and the picture into sight. */
    function go(index) {
      focus = Math.min(Math.max(index, 0), total - 1);
      const y = Math.floor(focus / columns) * (side + GAP) + box.getBoundingClientRect().top;
      if (y < 150 || y + side > innerHeight - 90) scrollBy({ top: y < 150 ? y - 150 : y + side - innerHeight + 90 });
      draw();
      const node = nodes.get(focus);
      if (node) node.firstChild.focus({ preventScroll: true });
    }

    const index_of = (event) => { const node = event.target.closest(".cell"); return node ? Number(node.dataset.index) : -1; };
    let held = 0, holding = false;
    box.addEventListener("pointerdown", (event) => {
      holding = false;
      if (event.pointerType !== "touch") return;
      const index = index_of(event);
      held = setTimeout(() => { holding = true; given.pick(index, "toggle"); }, HELD);
    });
    for (const kind of ["pointerup", "pointercancel", "pointerleave"]) box.addEventListener(kind, () => clearTimeout(held));
    box.addEventListener("contextmenu", (event) => { if (holding) event.preventDefault(); });
    box.addEventListener("click", (event) => {
      const index = index_of(event);
      if (index < 0 || !rows[index] || holding) return;
      focus = index;
      if (event.target.closest(".pick") || event.ctrlKey || event.metaKey) given.pick(index, "toggle");
      else if (event.shiftKey) given.pick(index, "range");
      else if (picked.size) given.pick(index, "toggle");
      else given.open(index);
    });
    box.addEventListener("keydown", (event) => {
      const index = index_of(event);
      if (index < 0) return;
      const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -total, End: total,
        PageDown: columns * 4, PageUp: -columns * 4 };
      if (event.key in moves && !event.ctrlKey && !event.altKey) {
        event.preventDefault();
        const to = Math.min(Math.max(index + moves[event.key], 0), total - 1);
        if (event.shiftKey && given.selects) given.pick(to, "range");
        go(to);
      } else given.key(event, index);
    });

    return { reset, draw, go,
      at: async (index) => { if (index < 0 || index >= total) return null; await need(Math.floor(index / PAGE)); return rows[index] || null; },
      row: (index) => rows[index],
      rows: () => rows,
      total: () => total,
      find: (id) => rows.findIndex((row) => row && row.id === id),
      /** Rows that changed are drawn anew. */
      change(ids, values) {
        rows.forEach((row, index) => {
          if (!ids.has(row.id)) return;
          Object.assign(row, values);
          const node = nodes.get(index);
          if (node) node.querySelector(".heart").hidden = !row.favourite;
        });
      },
      /** Take rows away without asking for the others again. */
      remove(ids) {
        const kept = [];
        let gone = 0;
        rows.forEach((row, index) => { if (ids.has(row.id)) gone += 1; else kept[index - gone] = row; });
        rows = kept; total -= gone; rows.length = total;
        for (const node of nodes.values()) node.remove();
        nodes.clear();
        asked.clear();
        round += 1;
        for (let page = 0; page * PAGE < total; page += 1) {
          let whole = true;
          for (let at = page * PAGE; at < Math.min(total, (page + 1) * PAGE); at += 1) if (!rows[at]) { whole = false; break; }
          if (whole) asked.add(page);
        }
        draw();
      } };
  };
})();
