/* The gallery's comparison: two pictures over one another with a line between them that is dragged or moved by keys, or
   several side by side; below each, what it was made with that the others were not. */
(() => {
  "use strict";
  const { h, icon, ICONS, parts: taken } = window.atelierTools;
  const parts = window.atelierGallery = window.atelierGallery || {};
  const OVER = "M4 5h16v14H4zM12 5v14", BESIDE = "M3 6h8v12H3zM13 6h8v12h-8z", SWAP = "M4 8h14l-4-4M20 16H6l4 4";
  parts.MOST_COMPARED = 6;
  parts.COMPARE = OVER;

  /** For each row the pairs of label and value in which it is unlike another one. */
  parts.differences = (rows) => {
    const all = rows.map((row) => {
      const { prompt, negative, pairs } = taken(row.infotext);
      return new Map([["Prompt", prompt], ["Negative prompt", negative], ...pairs, ["Size", `${row.width} × ${row.height}`]]);
    });
    const labels = [...new Set(all.flatMap((one) => [...one.keys()]))];
    const unlike = labels.filter((label) => new Set(all.map((one) => one.get(label) || "")).size > 1);
    return all.map((one) => unlike.map((label) => [label, one.get(label) || "–"]));
  };

  /** `given`: address(row), closed(). */
  parts.compare = (given) => {
    let rows = [], over = true;
    const body = h("div.body");
    const act = (label, path, does) => h("button.act", { type: "button", onclick: does }, icon(path), h("span", {}, label));
    const swap = act("Swap", SWAP, () => { rows.reverse(); draw(); });
    const stacked = act("Over one another", OVER, () => view(true));
    const beside = act("Side by side", BESIDE, () => view(false));
    const close = h("button.bare", { type: "button", "aria-label": "Close", onclick: () => box.close() }, icon(ICONS.close));
    const box = h("dialog.gallery-compare", { "aria-label": "Compare" },
      h("header", {}, h("h2", {}, "Compare"), h("div.acts", {}, swap, stacked, beside), close), body);
    document.body.append(box);

    function view(on) {
      over = on;
      draw();
      body.querySelector("input")?.focus();
    }

    const picture = (row, name) => h("img", { src: given.address(row), alt: row.prompt || "Picture", "data-own": row.prompt ? "" : null, draggable: "false", "data-at": name });
    function about(pairs) {
      if (!pairs.length) return h("p.same", {}, "Made with the same settings.");
      return h("dl", {}, ...pairs.map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", { translate: "no" }, value))));
    }

    function wiped(first, second, told) {
      const slider = h("input", { type: "range", min: 0, max: 100, step: 1, value: 50, "aria-label": "Line between the pictures" });
      const line = h("i.line", { "aria-hidden": "true" });
      const right = picture(second, "right");
      const stage = h("div.stack", {}, picture(first, "left"), right, line);
      stage.style.setProperty("--shape", first.width / first.height);
      const put = () => {
        right.style.clipPath = `inset(0 0 0 ${slider.value}%)`;
        line.style.left = `${slider.value}%`;
        slider.setAttribute("aria-valuetext", `${slider.value} %`);
      };
      const follow = (event) => {
        const { left, width } = stage.getBoundingClientRect();
        slider.value = Math.round(100 * (event.clientX - left) / width);
        put();
      };
      stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); follow(event); });
      stage.addEventListener("pointermove", (event) => { if (stage.hasPointerCapture(event.pointerId)) follow(event); });
      slider.addEventListener("input", put);
      put();
      return [stage, h("label.wipe", {}, h("span", {}, "Left"), slider, h("span", {}, "Right")),
        h("div.sides", {}, ...told.map((pairs) => h("div", {}, about(pairs))))];
    }

    function draw() {
      const told = parts.differences(rows);
      const two = rows.length === 2;
      swap.hidden = stacked.hidden = beside.hidden = !two;
      stacked.setAttribute("aria-pressed", over);
      beside.setAttribute("aria-pressed", !over);
      body.className = two && over ? "body over-one-another" : "body side-by-side";
      body.style.setProperty("--many", rows.length);
      if (two && over) body.replaceChildren(...wiped(...rows, told));
      else body.replaceChildren(...rows.map((row, at) => h("figure", {}, picture(row, at), h("figcaption", {}, about(told[at])))));
    }

    box.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || rows.length !== 2) return;
      const does = { s: () => { rows.reverse(); draw(); body.querySelector("input")?.focus(); }, v: () => view(!over) }[event.key.toLowerCase()];
      if (!does) return;
      event.preventDefault();
      does();
    });
    box.addEventListener("close", () => { body.replaceChildren(); given.closed(); });

    return { open(chosen) {
      rows = [...chosen];
      over = rows.length === 2;
      draw();
      box.showModal();
      (body.querySelector("input") || close).focus();
    } };
  };
})();
