/* The gallery's viewer: one picture over the whole window, with pan, zoom and keyboard, and everything it was made with. */
(() => {
  "use strict";
  const { h, icon, ICONS, copy, parts: taken, play } = window.atelierTools;
  const parts = window.atelierGallery = window.atelierGallery || {};
  const MOST = 16;
  const CHOICES = [["prompt", "Prompt"], ["seed", "Seed"], ["size", "Size"], ["model", "Model"], ["sampling", "Sampling"]];

  /** Pan and zoom of a picture in its frame: wheel, two fingers, double press; at 1 the whole picture is seen. */
  function zooming(frame, image) {
    let scale = 1, x = 0, y = 0;
    const fingers = new Map();
    const put = () => {
      const bound = (value, size) => Math.max(-Math.max(0, size) / 2, Math.min(Math.max(0, size) / 2, value));
      const { clientWidth: wide, clientHeight: high } = frame;
      x = bound(x, wide * scale - wide * Math.min(1, scale));
      y = bound(y, high * scale - high * Math.min(1, scale));
      image.style.transform = scale === 1 ? "" : `translate(${x}px, ${y}px) scale(${scale})`;
      frame.classList.toggle("near", scale > 1);
    };
    const to = (wanted, clientX, clientY) => {
      const box = frame.getBoundingClientRect();
      const [dx, dy] = [(clientX ?? box.left + box.width / 2) - box.left - box.width / 2, (clientY ?? box.top + box.height / 2) - box.top - box.height / 2];
      const next = Math.min(MOST, Math.max(1, wanted));
      x = dx - (dx - x) * (next / scale);
      y = dy - (dy - y) * (next / scale);
      scale = next;
      put();
    };
    const own = () => Math.max(2, image.naturalWidth / Math.max(1, Math.min(frame.clientWidth, frame.clientHeight * image.naturalWidth / image.naturalHeight)));
    frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      to(scale * Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), event.clientX, event.clientY);
    }, { passive: false });
    frame.addEventListener("dblclick", (event) => to(scale > 1 ? 1 : own(), event.clientX, event.clientY));
    frame.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, event);
      if (event.target === image) frame.setPointerCapture(event.pointerId);
    });
    frame.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const others = [...fingers.values()].filter((one) => one.pointerId !== event.pointerId);
      fingers.set(event.pointerId, event);
      if (others.length) {
        const [other] = others;
        const far = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
        to(scale * far(event) / far(before), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
      } else if (scale > 1) {
        x += event.clientX - before.clientX;
        y += event.clientY - before.clientY;
        put();
      }
    });
    const lift = (event) => {
      const before = fingers.get(event.pointerId);
      fingers.delete(event.pointerId);
      return before;
    };
    for (const kind of ["pointerup", "pointercancel"]) frame.addEventListener(kind, lift);
    return { near: () => scale > 1, by: (factor) => to(scale * factor), whole: () => { scale = 1; x = y = 0; put(); } };
  }

  /** `given`: at(index), total(), address(row), may (what the person may do), acts of the room, closed(index). */
  parts.viewer = (given) => {
    let index = 0, row = null, start = null;
    const image = h("img", { alt: "", translate: "no", draggable: "false" });
    const film = h("video", { controls: "", loop: "", playsinline: "", "aria-label": "Film" });
    const frame = h("div.frame", {}, image, film);
    const side = h("aside.about", { "aria-label": "Picture details", tabindex: 0 });
    const place = h("p.place");
    const over = (name, label, path, act) => h(`button.over.${name}`, { type: "button", "aria-label": label, title: label, onclick: act }, icon(path));
    const box = h("dialog.gallery-viewer", { "aria-label": "Picture" }, frame, side, place,
      over("close", "Close", ICONS.close, () => box.close()), over("previous", "Previous", ICONS.left, () => step(-1)),
      over("next", "Next", ICONS.right, () => step(1)),
      over("details", "Details", "M12 11v6M12 7v.5M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", () => box.classList.toggle("bare-picture")));
    const zoom = zooming(frame, image);
    document.body.append(box);

    async function show(at) {
      const found = await given.at(at);
      if (!found || !box.open) return found;
      [index, row] = [at, found];
      const moves = row.media_type.startsWith("video/");
      zoom.whole();
      image.hidden = moves;
      play(film, moves ? given.address(row) : "");
      if (!moves) { image.src = given.address(row); image.alt = row.prompt || "Picture"; }
      place.replaceChildren(`${(index + 1).toLocaleString()} / ${given.total().toLocaleString()}`);
      describe();
      for (const near of [at + 1, at - 1]) given.at(near).then((next) => { if (next && !next.media_type.startsWith("video/")) new Image().src = given.address(next); });
      return found;
    }
    const step = (by) => show(Math.min(Math.max(index + by, 0), given.total() - 1));

    const act = (label, path, does, kind = "") => h(`button.act${kind}`, { type: "button", onclick: does }, icon(path), h("span", {}, label));
    const tell = (button, word) => {
      const before = button.lastChild.textContent;
      button.lastChild.textContent = word;
      setTimeout(() => { button.lastChild.textContent = before; }, 1600);
    };

    function describe() {
      const { prompt, negative, pairs } = taken(row.infotext);
      const mine = row;
      const leave = (does) => () => { box.close(); does(mine); };
      const copied = act("Copy", ICONS.copy, async () => { await copy(mine.infotext); tell(copied, "Copied"); });
      const chosen = new Set(["prompt"]);
      const chips = CHOICES.map(([name, label]) => h("button.chip", { type: "button", "aria-pressed": chosen.has(name), onclick: (event) => {
        const on = !chosen.has(name);
        chosen[on ? "add" : "delete"](name);
        event.currentTarget.setAttribute("aria-pressed", on);
        some.disabled = !chosen.size;
      } }, label));
      const some = act("Use only these", ICONS.recall, leave((one) => given.use(one, [...chosen])));
      const verify = window.atelierVerify ? window.atelierVerify(mine, h, icon) : null;
      const heart = act(mine.favourite ? "No favourite" : "Favourite", parts.HEART, async () => { await given.favourite([mine.id], !mine.favourite); describe(); });
      heart.setAttribute("aria-pressed", mine.favourite);
      const acts = h("div.acts", {}, act("Use these settings", ICONS.recall, leave((one) => given.use(one)), ".main"),
        given.may && heart,
        act("Draw again", "M20 11a8 8 0 1 0-2.3 6.3M20 4v7h-7", async () => { if (await given.again(mine)) box.close(); }),
        window.atelierEdit && !mine.media_type.startsWith("video/") && act("Edit", "M4 20l1-4L16 5l3 3L8 19z", leave((one) => window.atelierEdit.take(one.id))) || null,
        act("Enlarge", ICONS.larger, leave(given.enlarge)), copied,
        h("a.act", { href: given.address(mine, true), download: mine.name }, icon(ICONS.save), h("span", {}, "Download")),
        verify && verify.button, given.may && act(mine.binned ? "Put back" : "Delete", mine.binned ? ICONS.recall : parts.BIN, remove));
      const rows = [["Size", `${mine.width} × ${mine.height}`], ["Created", new Date(mine.created).toLocaleString()],
        ...pairs.filter(([key]) => key !== "Size")];
      side.replaceChildren(...[acts, verify && verify.said,
        h("details.some", {}, h("summary", {}, "Use only some of its settings"), h("div.picks", {}, ...chips), some),
        h("p.prompt", { translate: prompt ? "no" : null }, prompt || "No prompt"),
        negative && h("p.negative", {}, h("b", {}, "Without: "), h("span", { translate: "no" }, negative)),
        h("dl", {}, ...rows.map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", { translate: "no" }, value))))].filter(Boolean));
    }

    async function remove() {
      await (row.binned ? given.restore([row.id]) : given.bin([row.id]));
      if (!given.total()) return box.close();
      show(Math.min(index, given.total() - 1));
    }

    box.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("video")) return;
      const does = { ArrowRight: () => step(1), ArrowLeft: () => step(-1), "+": () => zoom.by(1.4), "=": () => zoom.by(1.4),
        "-": () => zoom.by(1 / 1.4), 0: () => zoom.whole(), i: () => box.classList.toggle("bare-picture"),
        f: async () => { if (given.may) { await given.favourite([row.id], !row.favourite); describe(); } },
        Delete: () => given.may && remove() }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!does) return;
      event.preventDefault();
      does();
    });
    // On a phone a stroke to the side walks on, and one downwards closes.
    frame.addEventListener("pointerdown", (event) => { start = event.isPrimary && event.pointerType === "touch" && !zoom.near() ? event : null; });
    frame.addEventListener("pointerup", (event) => {
      if (!start || zoom.near()) return;
      const [dx, dy] = [event.clientX - start.clientX, event.clientY - start.clientY];
      start = null;
      if (Math.abs(dx) > 50 && Math.abs(dx) > 2 * Math.abs(dy)) step(dx < 0 ? 1 : -1);
      else if (dy > 90) box.close();
    });
    box.addEventListener("close", () => { play(film, ""); given.closed(index); });

    return { open(at) {
      box.showModal();
      box.querySelector(".close").focus();
      return show(at);
    } };
  };
})();
