/* The window onto the sheet: zoom and pan, and what fingers, pens and mice do there. It is drawn at
   most once a frame, and never more than fits the window, however large the picture is. */
(() => {
  "use strict";
  const REACH = 22;         // how near a press has to be to a handle
  const SIDES = ["left", "right", "top", "bottom"];
  const UNIT = 8;
  const MOST = 4096;

  /** Build it round a canvas. `say` answers with what the room knows: sheet, tool, size, sides, result and split. */
  window.atelierEditParts.view = (surface, say, act) => {
    const at = { scale: 1, x: 0, y: 0, fitted: true };
    const pointers = new Map();
    let planned = false;
    let doing = null;    // what the pointers do now: stroke, area, pan, pinch, side, split
    let hover = null;
    let space = false;
    let penSeen = false;

    const ratio = () => window.devicePixelRatio || 1;

    /** The frame in pixels of the picture: the picture with its margins. */
    function frame() {
      const [left, right, top, bottom] = say().sides;
      const { width, height } = say().sheet;
      return { x: -left, y: -top, width: width + left + right, height: height + top + bottom };
    }

    const { paint, handles } = window.atelierEditParts.painter(surface, at, frame, say, () => ({ doing, hover }));

    function draw() {
      if (planned) return;
      planned = true;
      requestAnimationFrame(() => { planned = false; paint(); });
    }

    function measure() {
      const { clientWidth, clientHeight } = surface;
      const [width, height] = [Math.round(clientWidth * ratio()), Math.round(clientHeight * ratio())];
      if (!width || !height || (surface.width === width && surface.height === height)) return;
      Object.assign(surface, { width, height });
      if (at.fitted) fit();
      draw();
    }

    /** Show the whole frame, with room for its handles. */
    function fit() {
      if (!say().sheet.picture || !surface.clientWidth) return draw();
      const { x, y, width, height } = frame();
      const room = surface.clientWidth < 500 ? 34 : 52;
      const scale = Math.min((surface.clientWidth - 2 * room) / width, (surface.clientHeight - 2 * room) / height);
      at.scale = Math.max(0.01, Math.min(scale, 8));
      at.x = surface.clientWidth / 2 - (x + width / 2) * at.scale;
      at.y = surface.clientHeight / 2 - (y + height / 2) * at.scale;
      at.fitted = true;
      act.zoomed(at.scale);
      draw();
    }

    function zoom(factor, x = surface.clientWidth / 2, y = surface.clientHeight / 2) {
      const scale = Math.max(0.02, Math.min(at.scale * factor, 32));
      at.x = x - (x - at.x) * (scale / at.scale);
      at.y = y - (y - at.y) * (scale / at.scale);
      at.scale = scale;
      at.fitted = false;
      act.zoomed(scale);
      draw();
    }

    const inside = ({ x, y }) => ({ x: (x - at.x) / at.scale, y: (y - at.y) / at.scale });

    /* ---- what is done ---- */

    const place = (event) => {
      const box = surface.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };

    function sideAt(spot) {
      if (!say().grows || say().result || !say().sheet.picture) return null;
      const found = Object.entries(handles(frame())).find(([side, [x, y]]) => {
        const lying = side === "top" || side === "bottom";
        return Math.abs(spot.x - x) < (lying ? 34 : REACH / 1.6) && Math.abs(spot.y - y) < (lying ? REACH / 1.6 : 34);
      });
      return found ? found[0] : null;
    }

    function begin(event, spot) {
      const { sheet, tool, result } = say();
      if (!sheet.picture) return null;
      const side = sideAt(spot);
      if (side) return { kind: "side", side, from: spot, sides: say().sides };
      if (event.button === 1 || space || tool === "hand" || (event.pointerType === "touch" && penSeen && !result)) return { kind: "pan", from: spot, x: at.x, y: at.y };
      if (result) return { kind: "split" };
      if (event.button !== 0) return null;
      const point = inside(spot);
      if (tool === "pick") { act.pick(point); return { kind: "pick" }; }
      if (tool === "lasso" || tool === "rectangle") return { kind: "area", tool, points: [point], erase: event.altKey };
      const stroke = act.stroke(event.altKey);
      stroke.to(point.x, point.y, force(event));
      return { kind: "stroke", stroke };
    }

    /** A pen presses more or less; whatever cannot tell presses fully. */
    const force = (event) => (event.pointerType === "pen" && event.pressure > 0 ? 0.15 + 0.85 * event.pressure : 1);

    function go(event, spot) {
      if (doing.kind === "stroke") {
        const events = event.getCoalescedEvents?.() || [];
        for (const one of events.length ? events : [event]) {
          const { x, y } = inside(place(one));
          doing.stroke.to(x, y, force(one));
        }
      } else if (doing.kind === "area") doing.points.push(inside(spot));
      else if (doing.kind === "pick") act.pick(inside(spot));
      else if (doing.kind === "pan") {
        Object.assign(at, { x: doing.x + spot.x - doing.from.x, y: doing.y + spot.y - doing.from.y, fitted: false });
      } else if (doing.kind === "side") pull(spot);
      else if (doing.kind === "split") moveSplit(spot);
    }

    function pull(spot) {
      const lying = doing.side === "top" || doing.side === "bottom";
      const outward = doing.side === "left" || doing.side === "top" ? -1 : 1;
      const moved = (lying ? spot.y - doing.from.y : spot.x - doing.from.x) * outward / at.scale;
      const sides = [...doing.sides];
      const which = SIDES.indexOf(doing.side);
      sides[which] = Math.max(0, Math.min(MOST, Math.round((sides[which] + moved) / UNIT) * UNIT));
      act.grow(sides);
    }

    function moveSplit(spot) {
      const room = frame();
      act.split(Math.max(0, Math.min(1, (inside(spot).x - room.x) / room.width)));
    }

    function finish() {
      const done = doing;
      doing = null;
      if (done?.kind === "stroke") done.stroke.end();
      if (done?.kind === "area") act.area(done.tool, done.points, done.erase);
      if (done?.kind === "side" && at.fitted) fit();
      draw();
    }

    /** Two fingers: whatever one of them had begun was not meant. */
    function pinch() {
      if (doing?.kind === "stroke") doing.stroke.drop();
      const [one, two] = [...pointers.values()];
      doing = { kind: "pinch", apart: Math.hypot(one.x - two.x, one.y - two.y), x: (one.x + two.x) / 2, y: (one.y + two.y) / 2 };
    }

    function pinched() {
      const [one, two] = [...pointers.values()];
      const now = { apart: Math.hypot(one.x - two.x, one.y - two.y), x: (one.x + two.x) / 2, y: (one.y + two.y) / 2 };
      at.x += now.x - doing.x;
      at.y += now.y - doing.y;
      zoom(now.apart / Math.max(1, doing.apart), now.x, now.y);
      Object.assign(doing, now);
    }

    surface.addEventListener("pointerdown", (event) => {
      const spot = place(event);
      if (event.pointerType === "pen") penSeen = true;
      pointers.set(event.pointerId, spot);
      surface.setPointerCapture(event.pointerId);
      hover = { ...spot, touch: event.pointerType === "touch", side: sideAt(spot) };
      if (pointers.size === 2) pinch();
      else if (pointers.size === 1) doing = begin(event, spot);
      if (doing?.kind === "split") moveSplit(spot);
      if (doing) event.preventDefault();
      draw();
    });
    surface.addEventListener("pointermove", (event) => {
      const spot = place(event);
      hover = { ...spot, touch: event.pointerType === "touch", side: sideAt(spot) };
      if (pointers.has(event.pointerId)) pointers.set(event.pointerId, spot);
      if (doing?.kind === "pinch") { if (pointers.size === 2) pinched(); }
      else if (doing && pointers.has(event.pointerId)) go(event, spot);
      point();
      draw();
    });
    const up = (event) => {
      if (!pointers.delete(event.pointerId)) return;
      if (doing?.kind === "pinch" ? !pointers.size : doing) finish();
    };
    surface.addEventListener("pointerup", up);
    surface.addEventListener("pointercancel", up);
    surface.addEventListener("pointerleave", () => { hover = null; draw(); });
    surface.addEventListener("wheel", (event) => {
      if (!say().sheet.picture) return;
      event.preventDefault();
      const spot = place(event);
      zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), spot.x, spot.y);
    }, { passive: false });
    surface.addEventListener("contextmenu", (event) => event.preventDefault());

    function point() {
      const { tool, result } = say();
      const lying = hover?.side === "top" || hover?.side === "bottom";
      surface.style.cursor = hover?.side ? (lying ? "ns-resize" : "ew-resize") : doing?.kind === "pan" ? "grabbing"
        : space || tool === "hand" ? "grab" : result ? "ew-resize" : ["brush", "eraser"].includes(tool) ? "none" : "crosshair";
    }

    new ResizeObserver(measure).observe(surface);
    return { draw, fit, zoom, measure, point, scale: () => at.scale, busy: () => Boolean(doing),
      grown() { if (at.fitted && !doing) fit(); else draw(); },
      hold(down) { space = down; point(); } };
  };
})();
