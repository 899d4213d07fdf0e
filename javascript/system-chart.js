/* Memory as it moves: a small chart of the last five minutes, drawn as SVG. Knows neither the room nor the studio. */
(() => {
  "use strict";
  if (window.atelierChart) return;
  const { h } = window.atelierTools;
  const SPACE = "http://www.w3.org/2000/svg";
  const SPAN = 300000;
  const GAP = 9000;
  const PARTS = 4;

  function shape(kind, attributes) {
    const node = document.createElementNS(SPACE, kind);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  }

  /** The least round height of a quarter of the chart, so that `most` has its place below the top. */
  function quarter(most) {
    for (let step = 2 ** 20; ; step *= 2) {
      if (step * PARTS >= most) return step;
      if (1.5 * step * PARTS >= most) return 1.5 * step;
    }
  }

  /** A chart of values over time. `series` are rows of `{key, label, filled}`; `say` puts a value into words. Its `add`
      takes `{key: number}` of this moment, its `total` how much there is at all. */
  function make(label, series, say) {
    const points = [];
    const plot = shape("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img" });
    for (let part = 1; part < PARTS; part += 1) plot.append(shape("line", { class: "rule", x1: 0, x2: 100, y1: part * 100 / PARTS, y2: part * 100 / PARTS }));
    const drawn = series.map(({ key, filled }) => {
      const area = filled ? shape("path", { class: `area ${key}` }) : null;
      const line = shape("path", { class: `curve ${key}` });
      if (area) plot.append(area);
      plot.append(line);
      return { area, line };
    });
    const hair = shape("line", { class: "hair", y1: 0, y2: 100, visibility: "hidden" });
    plot.append(hair);
    const heights = Array.from({ length: PARTS + 1 }, () => h("span"));
    const values = series.map(() => h("dd"));
    const legend = h("dl.legend", {}, ...series.map((row, at) => h("div", {}, h("dt", {}, h(`i.swatch.${row.key}`), h("span", {}, row.label)), values[at])));
    const when = h("span.when");
    const node = h("figure.chart", {}, h("figcaption", {}, h("h3", {}, label), when), legend,
      h("div.plot", {}, h("div.heights", { "aria-hidden": "true" }, ...heights), plot),
      h("div.times", { "aria-hidden": "true" }, h("span", {}, "5 minutes ago"), h("span", {}, "now")));
    let total = 0, looked = null;

    const x = (point, now) => 100 - (now - point.time) * 100 / SPAN;

    function draw() {
      const now = points[points.length - 1]?.time ?? 0;
      while (points.length && points[0].time < now - SPAN) points.shift();
      const step = quarter(Math.max(1, ...points.flatMap((point) => series.map(({ key }) => point[key]))) * 1.06);
      heights.forEach((node, at) => { node.textContent = say(step * (PARTS - at)); });
      series.forEach(({ key }, at) => {
        const y = (point) => 100 - point[key] * 100 / (step * PARTS);
        let line = "", area = "", begun = 0;
        points.forEach((point, index) => {
          const spot = `${x(point, now).toFixed(2)} ${y(point).toFixed(2)}`;
          const fresh = !index || point.time - points[index - 1].time > GAP;
          if (fresh && index) area += `V100H${begun}Z`;
          if (fresh) begun = x(point, now).toFixed(2);
          line += fresh ? `M${spot}l0 0` : `L${spot}`;
          area += fresh ? `M${begun} 100V${y(point).toFixed(2)}` : `L${spot}`;
        });
        drawn[at].line.setAttribute("d", line);
        drawn[at].area?.setAttribute("d", area && `${area}V100H${begun}Z`);
      });
      tell();
    }

    /** The values of the moment that is pointed at, else of now. */
    function tell() {
      const last = points[points.length - 1];
      const point = looked && points.includes(looked) ? looked : last;
      if (!point) return;
      series.forEach(({ key }, at) => { values[at].textContent = say(point[key]); });
      hair.setAttribute("visibility", point === last ? "hidden" : "visible");
      hair.setAttribute("x1", x(point, last.time));
      hair.setAttribute("x2", x(point, last.time));
      when.textContent = point === last ? (total ? `of ${say(total)}` : "") : new Date(point.time).toLocaleTimeString();
      plot.setAttribute("aria-label", `${label}: ${series.map((row) => `${row.label} ${say(last[row.key])}`).join(", ")}`);
    }

    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      const at = (event.clientX - box.left) * 100 / box.width;
      const now = points[points.length - 1]?.time ?? 0;
      looked = points.reduce((near, point) => (!near || Math.abs(x(point, now) - at) < Math.abs(x(near, now) - at) ? point : near), null);
      tell();
    });
    plot.addEventListener("pointerleave", () => { looked = null; tell(); });

    return {
      node,
      add(value, whole, time = Date.now()) {
        total = whole;
        points.push({ ...value, time });
        draw();
      },
      /** How many moments it shows. */
      get length() { return points.length; },
    };
  }

  window.atelierChart = make;
})();
