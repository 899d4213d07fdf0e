/* What is seen in the window of the Edit room: picture, colours, mask, margins, the result over the original, handles. */
(() => {
  "use strict";
  const HANDLE = 17;        // from the frame's edge to the middle of its handle, in pixels of the page
  const SIDES = ["left", "right", "top", "bottom"];

  /** Build it round a canvas. `at` is the place and scale of the picture there, `frame` the picture with its margins,
      `say` what the room knows, `now` what the pointers do and where they are. */
  window.atelierEditParts.painter = (surface, at, frame, say, now) => {
    const pen = surface.getContext("2d");
    const ratio = () => window.devicePixelRatio || 1;
    const style = (name) => getComputedStyle(surface).getPropertyValue(name).trim();

    function paint() {
      const { doing } = now();
      const { sheet } = say();
      pen.setTransform(1, 0, 0, 1, 0, 0);
      pen.clearRect(0, 0, surface.width, surface.height);
      if (!sheet.picture) return;
      const scale = at.scale * ratio();
      pen.setTransform(scale, 0, 0, scale, at.x * ratio(), at.y * ratio());
      pen.imageSmoothingEnabled = at.scale < 3;
      const room = frame();
      paintMargins(room);
      pen.drawImage(sheet.picture, 0, 0);
      if (sheet.sketched || doing?.kind === "stroke") pen.drawImage(sheet.sketch, 0, 0);
      const { result, split } = say();
      if (result) paintResult(room, result, split);
      else if (sheet.masked || doing?.kind === "stroke") {
        pen.globalAlpha = 0.55;
        pen.drawImage(sheet.mask, 0, 0);
        pen.globalAlpha = 1;
      }
      if (doing?.kind === "area") paintArea(doing);
      pen.setTransform(ratio(), 0, 0, ratio(), 0, 0);
      if (!result) paintHandles(room);
      paintRing();
    }

    function paintMargins(room) {
      const { sheet } = say();
      if (room.width === sheet.width && room.height === sheet.height) return;
      pen.fillStyle = style("--margin");
      pen.fillRect(room.x, room.y, room.width, room.height);
      pen.setLineDash([6 / at.scale, 5 / at.scale]);
      pen.lineWidth = 1.5 / at.scale;
      pen.strokeStyle = style("--accent");
      pen.strokeRect(room.x, room.y, room.width, room.height);
      pen.setLineDash([]);
    }

    /** The result to the right of the split, over the picture as it was. */
    function paintResult(room, result, split) {
      const line = room.x + room.width * split;
      pen.save();
      pen.beginPath();
      pen.rect(line, room.y, room.x + room.width - line, room.height);
      pen.clip();
      pen.drawImage(result, room.x, room.y, room.width, room.height);
      pen.restore();
      if (split <= 0 || split >= 1) return;
      pen.lineWidth = 2 / at.scale;
      pen.strokeStyle = "#fff";
      pen.shadowColor = "rgb(0 0 0 / .55)";
      pen.shadowBlur = 6 * ratio();
      pen.beginPath();
      pen.moveTo(line, room.y);
      pen.lineTo(line, room.y + room.height);
      pen.stroke();
      pen.fillStyle = "#fff";
      pen.beginPath();
      pen.arc(line, room.y + room.height / 2, 14 / at.scale, 0, 7);
      pen.fill();
      pen.shadowBlur = 0;
      pen.strokeStyle = "#3b3732";
      const [middle, far, near] = [room.y + room.height / 2, 8 / at.scale, 4 / at.scale];
      for (const side of [-1, 1]) {
        pen.beginPath();
        pen.moveTo(line + side * near, middle - near);
        pen.lineTo(line + side * far, middle);
        pen.lineTo(line + side * near, middle + near);
        pen.stroke();
      }
    }

    function paintArea(doing) {
      const points = doing.tool === "rectangle" ? window.atelierEditParts.corners(doing.points[0], doing.points.at(-1)) : doing.points;
      pen.beginPath();
      for (const { x, y } of points) pen.lineTo(x, y);
      pen.closePath();
      pen.globalAlpha = 0.3;
      pen.fillStyle = say().colour;
      pen.fill("evenodd");
      pen.globalAlpha = 1;
      pen.lineWidth = 1.5 / at.scale;
      pen.strokeStyle = "#fff";
      pen.stroke();
      pen.setLineDash([4 / at.scale, 4 / at.scale]);
      pen.strokeStyle = "#222";
      pen.stroke();
      pen.setLineDash([]);
    }

    /** Middles of the handles, in pixels of the page. */
    function handles(room) {
      const [left, top] = [at.x + room.x * at.scale, at.y + room.y * at.scale];
      const [right, bottom] = [left + room.width * at.scale, top + room.height * at.scale];
      const [across, down] = [(left + right) / 2, (top + bottom) / 2];
      return { left: [left - HANDLE, down], right: [right + HANDLE, down], top: [across, top - HANDLE], bottom: [across, bottom + HANDLE] };
    }

    function paintHandles(room) {
      if (!say().grows) return;
      const { doing, hover } = now();
      for (const [side, [x, y]] of Object.entries(handles(room))) {
        const lying = side === "top" || side === "bottom";
        const live = doing?.side === side || hover?.side === side;
        pen.fillStyle = style(live ? "--accent" : "--handle");
        pen.beginPath();
        pen.roundRect(x - (lying ? 20 : 3.5), y - (lying ? 3.5 : 20), lying ? 40 : 7, lying ? 7 : 40, 3.5);
        pen.fill();
        const grown = say().sides[SIDES.indexOf(side)];
        if (grown) label(`+${grown}`, x + (side === "left" ? -24 : side === "right" ? 24 : 0), y + (side === "top" ? -14 : side === "bottom" ? 14 : 0));
      }
    }

    function label(text, x, y) {
      pen.font = "600 12px system-ui, sans-serif";
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      const wide = pen.measureText(text).width + 12;
      pen.fillStyle = style("--accent");
      pen.beginPath();
      pen.roundRect(Math.max(0, Math.min(x - wide / 2, surface.clientWidth - wide)), y - 10, wide, 20, 6);
      pen.fill();
      pen.fillStyle = style("--on-accent");
      pen.fillText(text, Math.max(wide / 2, Math.min(x, surface.clientWidth - wide / 2)), y);
    }

    function paintRing() {
      const { tool, size, result } = say();
      const { hover } = now();
      if (!hover || hover.side || result || !["brush", "eraser"].includes(tool) || hover.touch) return;
      for (const [colour, wide] of [["rgb(0 0 0 / .6)", 3], ["#fff", 1.5]]) {
        pen.strokeStyle = colour;
        pen.lineWidth = wide;
        pen.beginPath();
        pen.arc(hover.x, hover.y, Math.max(1.5, (size / 2) * at.scale), 0, 7);
        pen.stroke();
      }
    }

    return { paint, handles };
  };
})();
