/* What is edited: a picture, colours painted over it, a mask, and the way back. A step keeps the tiles that it changed,
   so that a stroke on a large picture costs what it covers and no more. */
(() => {
  "use strict";
  const TILE = 256;
  const KEPT_BYTES = 192 << 20;
  const MASK_COLOUR = "#e4572e";

  function canvas(width, height) {
    const made = document.createElement("canvas");
    made.width = width;
    made.height = height;
    return made;
  }

  function copyOf(source, x = 0, y = 0, width = source.width, height = source.height) {
    const made = canvas(width, height);
    made.getContext("2d").drawImage(source, x, y, width, height, 0, 0, width, height);
    return made;
  }

  /** Whether nothing was painted on a layer. */
  function blank(layer) {
    const pen = layer.getContext("2d");
    for (let top = 0; top < layer.height; top += TILE) {
      const { data } = pen.getImageData(0, top, layer.width, Math.min(TILE, layer.height - top));
      for (let at = 3; at < data.length; at += 4) if (data[at]) return false;
    }
    return true;
  }

  const sizeOf = (step) => (step.whole ? step.whole.picture.width * step.whole.picture.height * 12
    : [...step.tiles.values()].reduce((sum, tile) => sum + tile.width * tile.height * 4, 0));

  /** The sheet that is worked on. `changed` is called after every change with whether the picture itself is another. */
  class Sheet {
    constructor(changed) {
      Object.assign(this, { changed, picture: null, sketch: null, mask: null, past: [], future: [], step: null });
      Object.assign(this, { masked: false, sketched: false });
    }

    get width() { return this.picture ? this.picture.width : 0; }
    get height() { return this.picture ? this.picture.height : 0; }

    /** Put another picture there. What is given besides stays, brought to its size; `undoable` keeps the way back. */
    put(picture, { sketch = null, mask = null, undoable = false } = {}) {
      const before = this.picture && undoable ? this.all() : null;
      const { width, height } = picture;
      Object.assign(this, { picture, sketch: sketch || canvas(width, height), mask: mask || canvas(width, height) });
      this.past = before ? [...this.past, { whole: before }] : [];
      this.future = [];
      this.trim();
      this.look(true);
    }

    all() {
      return { picture: this.picture, sketch: this.sketch, mask: this.mask };
    }

    look(anew = false) {
      this.masked = Boolean(this.mask) && !blank(this.mask);
      this.sketched = Boolean(this.sketch) && !blank(this.sketch);
      this.changed(anew);
    }

    /** Begin a step on "mask" or "sketch"; `touch` has to be told of every place before it is painted on. */
    begin(layer) {
      this.step = { layer, tiles: new Map() };
      return this[layer].getContext("2d");
    }

    touch(left, top, right, bottom) {
      const source = this[this.step.layer];
      const first = (edge) => Math.max(0, Math.floor(edge / TILE));
      for (let row = first(top); row * TILE < Math.min(bottom, this.height); row += 1) {
        for (let column = first(left); column * TILE < Math.min(right, this.width); column += 1) {
          const key = `${column},${row}`;
          if (this.step.tiles.has(key)) continue;
          const [x, y] = [column * TILE, row * TILE];
          this.step.tiles.set(key, copyOf(source, x, y, Math.min(TILE, this.width - x), Math.min(TILE, this.height - y)));
        }
      }
    }

    touchAll() { this.touch(0, 0, this.width, this.height); }

    /** The step is finished. `adds` says that it only painted, so that nothing need be looked through. */
    end(adds = false) {
      const step = this.step;
      this.step = null;
      if (!step || !step.tiles.size) return;
      this.past.push(step);
      this.future = [];
      this.trim();
      if (!adds) return this.look();
      this[step.layer === "mask" ? "masked" : "sketched"] = true;
      this.changed(false);
    }

    /** As if the step had not been begun. */
    drop() {
      const step = this.step;
      this.step = null;
      if (step) this.exchange(step);
    }

    trim() {
      let held = this.past.reduce((sum, step) => sum + sizeOf(step), 0);
      while (held > KEPT_BYTES && this.past.length > 1) held -= sizeOf(this.past.shift());
    }

    /** Put back what a step kept; answers with the step that leads back again. */
    exchange(step) {
      if (step.whole) {
        const before = this.all();
        Object.assign(this, step.whole);
        return { whole: before };
      }
      const layer = this[step.layer];
      const pen = layer.getContext("2d");
      const tiles = new Map();
      for (const [key, tile] of step.tiles) {
        const [x, y] = key.split(",").map((part) => part * TILE);
        tiles.set(key, copyOf(layer, x, y, tile.width, tile.height));
        pen.clearRect(x, y, tile.width, tile.height);
        pen.drawImage(tile, x, y);
      }
      return { layer: step.layer, tiles };
    }

    move(from, to) {
      const step = from.pop();
      if (!step) return false;
      to.push(this.exchange(step));
      this.look(Boolean(step.whole));
      return true;
    }

    undo() { return this.move(this.past, this.future); }
    redo() { return this.move(this.future, this.past); }

    /** Take everything away from a layer. */
    clear(layer) {
      const pen = this.begin(layer);
      this.touchAll();
      pen.clearRect(0, 0, this.width, this.height);
      this.end();
    }

    /** Mask what is not masked, and the other way round, greys included. */
    invert() {
      const pen = this.begin("mask");
      this.touchAll();
      pen.save();
      pen.globalCompositeOperation = "xor";  // with an opaque surface: the alpha becomes one minus what it was
      pen.fillStyle = MASK_COLOUR;
      pen.fillRect(0, 0, this.width, this.height);
      pen.restore();
      this.end();
    }

    /** The picture with what was painted over it. */
    flat() {
      if (!this.sketched) return this.picture;
      const made = copyOf(this.picture);
      made.getContext("2d").drawImage(this.sketch, 0, 0);
      return made;
    }

    /** The mask as the studio reads it: white on black. */
    maskPicture() {
      const white = copyOf(this.mask);
      let pen = white.getContext("2d");
      pen.globalCompositeOperation = "source-in";
      pen.fillStyle = "#fff";
      pen.fillRect(0, 0, white.width, white.height);
      const made = canvas(white.width, white.height);
      pen = made.getContext("2d");
      pen.fillStyle = "#000";
      pen.fillRect(0, 0, made.width, made.height);
      pen.drawImage(white, 0, 0);
      return made;
    }

    /** The colour of the picture, painted over, at a place: "#rrggbb". */
    colourAt(x, y) {
      const spot = canvas(1, 1);
      const pen = spot.getContext("2d");
      for (const layer of [this.picture, this.sketch]) pen.drawImage(layer, Math.floor(x), Math.floor(y), 1, 1, 0, 0, 1, 1);
      return `#${[...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => part.toString(16).padStart(2, "0")).join("")}`;
    }
  }

  window.atelierEditParts = { Sheet, canvas, copyOf, MASK_COLOUR };
})();
