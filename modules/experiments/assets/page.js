"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { axes, cells } = data;
  const $ = (id) => document.getElementById(id);
  const make = (tag, text, extra) => Object.assign(document.createElement(tag), text === undefined ? {} : { textContent: text }, extra || {});
  const state = { x: 0, y: axes.length > 1 ? 1 : -1, fixed: axes.map(() => 0), list: false, sort: -1, down: 1, pair: [] };
  const byPlace = new Map(cells.map((cell) => [cell.place.join(","), cell]));
  const said = (cell) => cell.place.map((at, n) => axes[n].values[at]).join(", ");

  function choice(label, options, value, change) {
    const box = make("label", label + " ");
    const select = make("select");
    options.forEach(([key, text]) => select.append(make("option", text, { value: key, selected: key === value })));
    select.addEventListener("change", () => { change(Number(select.value)); draw(); });
    box.append(select);
    return box;
  }

  function controls() {
    const bar = $("controls");
    bar.replaceChildren();
    const named = axes.map((axis, n) => [n, axis.label]);
    bar.append(choice("View", [[0, "grid"], [1, "list"]], Number(state.list), (to) => { state.list = Boolean(to); }));
    if (!state.list && axes.length) {
      bar.append(choice("Columns", named, state.x, (to) => { if (to === state.y) { state.y = state.x; } state.x = to; }));
      bar.append(choice("Rows", [[-1, "none"], ...named], state.y, (to) => { if (to === state.x) { state.x = state.y < 0 ? state.x : state.y; } state.y = to === state.x ? -1 : to; }));
      axes.forEach((axis, n) => {
        if (n !== state.x && n !== state.y) {
          bar.append(choice(axis.label, axis.values.map((text, at) => [at, text]), state.fixed[n], (to) => { state.fixed[n] = to; }));
        }
      });
    }
    const size = make("input", undefined, { type: "range", min: 48, max: 768, value: state.side || 192, ariaLabel: "Size of pictures" });
    size.addEventListener("input", () => { state.side = size.value; document.body.style.setProperty("--side", size.value + "px"); });
    bar.append(size, make("span", "Mark two pictures with ⇄ to compare them."));
  }

  function show(cell) {
    if (!cell) { return make("span", ""); }
    if (!cell.picture) { return make("div", cell.error || cell.state, { className: "empty" }); }
    const figure = make("figure");
    figure.classList.toggle("chosen", state.pair.includes(cell));
    const picture = make("img", undefined, { src: cell.picture, alt: said(cell), title: said(cell), loading: "lazy" });
    picture.addEventListener("click", () => zoom(cell));
    const mark = make("button", "⇄", { title: "Compare" });
    mark.addEventListener("click", () => pair(cell));
    figure.append(picture, mark);
    return figure;
  }

  function grid() {
    const table = make("table");
    const columns = axes.length ? axes[state.x].values : [""];
    const rows = state.y >= 0 ? axes[state.y].values : [""];
    const head = table.insertRow();
    head.append(make("th"), ...columns.map((text) => make("th", text)));
    rows.forEach((text, down) => {
      const row = table.insertRow();
      row.append(make("th", text));
      columns.forEach((_, across) => {
        const place = axes.map((_, n) => (n === state.x ? across : n === state.y ? down : state.fixed[n]));
        row.insertCell().append(show(byPlace.get(place.join(","))));
      });
    });
    $("grid").replaceChildren(table);
  }

  function list() {
    const keys = [...axes.map((_, n) => (cell) => cell.values[axes[n].key] ?? ""), (cell) => cell.state, (cell) => cell.file || ""];
    const table = $("list");
    table.replaceChildren();
    const head = table.insertRow();
    head.append(make("th", ""));
    [...axes.map((axis) => axis.label), "State", "File"].forEach((label, n) => {
      const th = make("th", label + (state.sort === n ? (state.down > 0 ? " ▲" : " ▼") : ""));
      th.addEventListener("click", () => { state.down = state.sort === n ? -state.down : 1; state.sort = n; draw(); });
      head.append(th);
    });
    const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
    const sorted = state.sort < 0 ? cells : [...cells].sort((a, b) => state.down * order(keys[state.sort](a), keys[state.sort](b)));
    sorted.forEach((cell) => {
      const row = table.insertRow();
      row.insertCell().append(show(cell));
      keys.forEach((key) => { row.insertCell().textContent = key(cell); });
    });
  }

  function zoom(cell) {
    const box = $("zoom");
    const picture = box.querySelector("img");
    let scale = 1;
    picture.src = cell.picture;
    picture.style.width = "";
    box.querySelector("pre").textContent = cell.infotext || said(cell);
    box.querySelector(".stage").onwheel = (event) => {
      event.preventDefault();
      scale = Math.min(16, Math.max(0.25, scale * (event.deltaY < 0 ? 1.25 : 0.8)));
      picture.style.width = picture.naturalWidth * scale + "px";
    };
    box.showModal();
  }

  function pair(cell) {
    state.pair = state.pair.includes(cell) ? state.pair.filter((one) => one !== cell) : [...state.pair, cell].slice(-2);
    draw();
    if (state.pair.length < 2) { return; }
    const box = $("compare");
    const [one, other] = box.querySelectorAll("img");
    [one.src, other.src] = state.pair.map((each) => each.picture);
    box.querySelector("p").textContent = state.pair.map(said).join("  ⇄  ");
    box.showModal();
  }

  function draw() {
    controls();
    $("grid").hidden = state.list;
    $("list").hidden = !state.list;
    if (state.list) { list(); } else { grid(); }
  }

  $("compare").querySelector("input").addEventListener("input", (event) => {
    $("compare").querySelector(".pair").style.setProperty("--cut", event.target.value + "%");
  });
  $("compare").addEventListener("close", () => { state.pair = []; draw(); });
  document.querySelectorAll("[data-close]").forEach((button) => button.addEventListener("click", () => button.closest("dialog").close()));
  draw();
})();
