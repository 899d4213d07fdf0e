/* What the tools of the Edit room paint: strokes hard and soft, areas within a line, rectangles. */
(() => {
  "use strict";
  const { canvas } = window.atelierEditParts;
  const FLOW = 0.22;      // of one dab of the soft brush: many of them lie over each other
  const SPACING = 0.22;   // from dab to dab, in radii

  /** A dab whose edge fades away. */
  function dab(colour) {
    const made = canvas(128, 128);
    const pen = made.getContext("2d");
    const fade = pen.createRadialGradient(64, 64, 0, 64, 64, 64);
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    for (const [at, share] of [[0, 1], [0.35, 0.82], [0.7, 0.28], [1, 0]]) fade.addColorStop(at, `rgba(${red},${green},${blue},${share})`);
    pen.fillStyle = fade;
    pen.fillRect(0, 0, 128, 128);
    return made;
  }

  /** One stroke on a layer of the sheet; `erase` takes away. Widths are in pixels of the picture. */
  class Stroke {
    constructor(sheet, layer, { colour, width, soft, erase }) {
      Object.assign(this, { sheet, width, soft, erase, last: null, rest: 0 });
      this.pen = sheet.begin(layer);
      this.pen.save();
      this.pen.globalCompositeOperation = erase ? "destination-out" : "source-over";
      this.pen.strokeStyle = this.pen.fillStyle = colour;
      this.pen.lineCap = this.pen.lineJoin = "round";
      if (soft) this.dab = dab(colour);
    }

    /** Go on to that place. `pressure` is from 0 to 1. */
    to(x, y, pressure = 1) {
      const width = Math.max(1, this.width * pressure);
      const from = this.last || { x, y };
      const reach = width / 2 + 2;
      this.sheet.touch(Math.min(x, from.x) - reach, Math.min(y, from.y) - reach, Math.max(x, from.x) + reach, Math.max(y, from.y) + reach);
      if (this.soft) this.dabs(from, x, y, width);
      else {
        this.pen.lineWidth = width;
        this.pen.beginPath();
        if (this.last) {
          this.pen.moveTo(from.x, from.y);
          this.pen.lineTo(x, y);
          this.pen.stroke();
        } else {
          this.pen.arc(x, y, width / 2, 0, 7);  // a line without length has no round ends
          this.pen.fill();
        }
      }
      this.last = { x, y };
    }

    dabs(from, x, y, width) {
      const gap = Math.max(1, width * SPACING / 2);
      const length = Math.hypot(x - from.x, y - from.y);
      this.pen.globalAlpha = FLOW;
      for (let gone = this.last ? gap - this.rest : 0; gone <= length; gone += gap) {
        const share = length ? gone / length : 0;
        this.pen.drawImage(this.dab, from.x + (x - from.x) * share - width / 2, from.y + (y - from.y) * share - width / 2, width, width);
      }
      this.rest = (this.rest + length) % gap;
    }

    end() {
      this.pen.restore();
      this.sheet.end(!this.erase);
    }

    /** Nothing of it stays: two fingers came down, and it was no stroke. */
    drop() {
      this.pen.restore();
      this.sheet.drop();
    }
  }

  /** Fill what the line of those points encloses; as one step. */
  function fillArea(sheet, layer, points, { colour, erase }) {
    if (points.length < 3) return;
    const pen = sheet.begin(layer);
    const [across, down] = [points.map((point) => point.x), points.map((point) => point.y)];
    sheet.touch(Math.min(...across) - 1, Math.min(...down) - 1, Math.max(...across) + 1, Math.max(...down) + 1);
    pen.save();
    pen.globalCompositeOperation = erase ? "destination-out" : "source-over";
    pen.fillStyle = colour;
    pen.beginPath();
    for (const { x, y } of points) pen.lineTo(x, y);
    pen.closePath();
    pen.fill();
    pen.restore();
    sheet.end(!erase);
  }

  /** The corners of the rectangle between two places, on whole pixels. */
  function corners(from, to) {
    const [left, right] = [Math.floor(Math.min(from.x, to.x)), Math.ceil(Math.max(from.x, to.x))];
    const [top, bottom] = [Math.floor(Math.min(from.y, to.y)), Math.ceil(Math.max(from.y, to.y))];
    return [{ x: left, y: top }, { x: right, y: top }, { x: right, y: bottom }, { x: left, y: bottom }];
  }

  Object.assign(window.atelierEditParts, { Stroke, fillArea, corners });
})();
