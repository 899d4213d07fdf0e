/* The room Queue: one's jobs that run, wait and have ended. What happens to them is pushed; the list is asked for again
   when a job changes its state. */
(() => {
  "use strict";
  const { h, icon, ICONS } = window.atelierTools;
  const { button, choice, list, span, ask, attempt, who, follow, presence, DRAWINGS } = window.atelierKit;
  const { make, title } = window.atelierQueueRow;
  const ENDED = ["done", "failed", "cancelled"];
  const PAGE = 30;
  const RENEWAL = 10000;

  async function build(element, room) {
    const me = await who(room);
    const state = { filter: "all", following: null, ended: [], queue: null, dragging: null, asked: 0 };
    const desk = { member: me.role !== "guest", everybody: false, fresh: true };
    let line = null, soon = 0, often = 0;

    /* ---- the frame ---- */
    const summary = h("h2.kit-summary", { role: "status" });
    const lost = h("p.said.bad", { role: "alert", hidden: "" }, "Connection lost, trying again.");
    const hold = me.role === "admin" ? button("Pause the queue", "pause", () => run(() => room.api(`queue/${state.queue?.paused ? "resume" : "pause"}`, { method: "POST" }))) : null;
    const drop = button("Cancel all that wait", ICONS.close, async () => {
      if (await ask("Cancel all of your jobs that wait? The one that runs goes on.", "Cancel them")) run(() => room.api("queue/cancel", { method: "POST" }));
    });
    const whose = me.role === "admin" && !me.open ? choice("Whose jobs", [[false, "Mine"], [true, "Everybody's"]], false, (all) => {
      desk.everybody = all;
      reconnect();
    }) : null;
    const paused = h("p.kit-note", { hidden: "" }, icon(DRAWINGS.pause), h("span", {}, "The queue is paused: what runs goes on, and nothing else begins."));
    const running = h("ol.jobs.now", { "aria-label": "Jobs that run" });
    const waiting = h("ol.jobs", { "aria-label": "Jobs that wait" });
    const ended = h("ol.jobs", { "aria-label": "Jobs that have ended" });
    const waits = h("h3", {}, "Waiting");
    const behind = h("p.kit-nothing", { hidden: "" });
    const clear = desk.member ? button("Clear the list", "bin", async () => {
      if (await ask("Take all ended jobs without a bookmark out of this list? Their pictures stay in the gallery.", "Clear")) run(() => room.api("jobs", { method: "DELETE" }));
    }) : null;
    const filter = choice("Which ended jobs", [["all", "All"], ["done", "Done"], ["failed", "Failed"], ["cancelled", "Stopped"], ["marked", "Bookmarked"]], "all", (word) => {
      state.filter = word;
      attempt(room, () => renewEnded());
    });
    const more = button("Show more", null, () => attempt(room, () => renewEnded(true)), { kind: "more", hidden: "" });
    const nothing = h("p.kit-nothing");
    const idle = h("div.kit-empty", { hidden: "" }, icon(DRAWINGS.clock), h("h3", {}, "Nothing is being drawn"),
      h("p", {}, "Press Generate under Create; the job shows here while it waits and runs, also on your other devices."));
    const heard = h("p.kit-heard", { role: "status" });
    element.append(h("header.kit-head", {}, summary, h("div.kit-acts", {}, whose, drop, hold)), lost, paused, idle, running, waits, waiting, behind,
      h("header.kit-head", {}, h("h3", {}, "Ended"), h("div.kit-acts", {}, filter, clear)), ended, nothing, more, heard);

    /* ---- what is pressed ---- */
    async function run(action, well) {
      const answer = await attempt(room, action, well);
      await renew();
      return answer;
    }
    const path = (job) => `jobs/${encodeURIComponent(job.id)}`;
    desk.act = (job, word, body) => run(() => room.api(`${path(job)}/${word}`, { method: "POST", body }), word === "requeue" ? "Asked for again; it waits its turn." : "");
    desk.rename = (job, words) => run(() => room.api(path(job), { method: "PATCH", body: { name: words } }));
    desk.mark = (job) => run(() => room.api(path(job), { method: "PATCH", body: { bookmarked: !job.bookmarked } }));
    const pictures = async (job) => (await room.api(`${path(job)}/pictures?limit=1000`)).pictures;
    desk.recall = (job) => attempt(room, async () => {
      const [first] = await pictures(job);
      if (!first) throw new Error("Its pictures are no longer in the gallery.");
      window.atelier.recall(first.id);
    });
    desk.preview = (job) => new URL(`api/v1/${path(job)}/preview`, document.baseURI).href;
    desk.look = (job) => attempt(room, async () => show(job, await pictures(job)));

    /* ---- thumbnails of ended jobs, as they come into sight ---- */
    const thumb = (id) => new URL(`api/v1/pictures/${encodeURIComponent(id)}/thumbnail?side=256`, document.baseURI).href;
    const whole = (id, query = "") => new URL(`api/v1/pictures/${encodeURIComponent(id)}/file${query}`, document.baseURI).href;
    const seen = new WeakSet();
    const sight = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach(async ({ target }) => {
      sight.unobserve(target);
      const row = rows.ended.rows.get(target.dataset.id);
      const found = await room.api(`${path({ id: target.dataset.id })}/pictures?limit=1`).catch(() => ({ pictures: [] }));
      if (row && found.pictures.length) row.show(thumb(found.pictures[0].id), "");
    }), { rootMargin: "300px" });
    desk.watch = (node) => {
      if (seen.has(node)) return;
      seen.add(node);
      sight.observe(node);
    };
    desk.unwatch = (node) => sight.unobserve(node);

    const rows = {
      running: list(running, (job) => job.id, (job) => make(job, desk)),
      waiting: list(waiting, (job) => job.id, (job) => movable(make(job, desk))),
      ended: list(ended, (job) => job.id, (job) => make(job, desk)),
    };

    /* ---- the pictures of a job ---- */
    function show(job, found) {
      if (!found.length) throw new Error("Its pictures are no longer in the gallery.");
      let at = 0;
      const image = h("img.large", { translate: "no" });
      const strip = h("div.strip", { role: "group", "aria-label": "Pictures of this job" }, ...found.map((one, number) => h("button.thumb", { type: "button", "aria-label": `Picture ${number + 1}`, onclick: () => turn(number) }, h("img", { src: thumb(one.id), alt: "" }))));
      const save = h("a.kit-button", { download: "" }, icon(ICONS.save), h("span", {}, "Download"));
      const gallery = document.getElementById("tab_gallery-button") ? h("a.kit-button", {}, icon(DRAWINGS.out), h("span", {}, "In the gallery")) : null;
      const box = h("dialog.kit-pictures", { "aria-label": title(job), "data-own": "" }, h("header", {}, h("p", { translate: "no" }, title(job)), button("Close", ICONS.close, () => box.close(), { bare: true })), image, strip,
        h("div.kit-acts", {}, button("Use these settings", ICONS.recall, () => { box.close(); window.atelier.recall(found[at].id); }, { kind: "main" }), save, gallery));
      strip.hidden = found.length < 2;
      function turn(number) {
        at = Math.min(Math.max(number, 0), found.length - 1);
        image.src = whole(found[at].id);
        image.alt = title(job);
        save.href = whole(found[at].id, "?download=true");
        if (gallery) gallery.href = `#gallery/${encodeURIComponent(found[at].id)}`;
        [...strip.children].forEach((node, index) => node.setAttribute("aria-pressed", index === at));
      }
      gallery?.addEventListener("click", () => box.close());
      box.addEventListener("keydown", (event) => {
        const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (by) { event.preventDefault(); turn(at + by); }
      });
      box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
      box.addEventListener("close", () => box.remove());
      turn(0);
      document.body.append(box);
      box.showModal();
    }

    /* ---- order ---- */
    const order = () => [...waiting.children].map((node) => node.dataset.id);

    async function put(job, to) {
      const ids = order().filter((id) => id !== job.id);
      const place = Math.min(Math.max(to, 0), ids.length);
      const where = place < ids.length ? { before: ids[place] } : { after: ids[ids.length - 1] };
      await run(() => room.api(`${path(job)}/move`, { method: "POST", body: { ...where, front: false } }));
      heard.textContent = `Place ${order().indexOf(job.id) + 1} of ${order().length}: ${title(job)}`;
    }

    /** Its grip moves a row: by the arrow keys, and by finger, pen or mouse. */
    function movable(row) {
      const { node, grip } = row;
      grip.addEventListener("keydown", async (event) => {
        const at = order().indexOf(node.dataset.id);
        const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: order().length }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        if (to < 0 || to === at || order().length < 2) return;
        await put(row.job, to);
        grip.focus();
      });
      grip.addEventListener("pointerdown", (event) => {
        if (event.button) return;
        event.preventDefault();
        grip.focus();
        state.dragging = node.dataset.id;
        node.classList.add("dragged");
        const before = order().indexOf(node.dataset.id);
        const move = ({ clientY }) => {
          const others = [...waiting.children].filter((other) => other !== node);
          const below = others.find((other) => { const box = other.getBoundingClientRect(); return clientY < box.top + box.height / 2; }) || null;
          if (node.nextElementSibling !== below) waiting.insertBefore(node, below);
        };
        // The row changes its place in the page, and would lose a pointer that it had captured: so the page listens.
        const over = new AbortController();
        const end = async (cancelled) => {
          over.abort();
          node.classList.remove("dragged");
          state.dragging = null;
          const to = order().indexOf(node.dataset.id);
          if (cancelled || to === before) return renew();
          await put(row.job, to);
        };
        document.addEventListener("pointermove", move, { signal: over.signal });
        document.addEventListener("pointerup", () => end(false), { signal: over.signal });
        document.addEventListener("pointercancel", () => end(true), { signal: over.signal });
      });
      return row;
    }

    /* ---- what there is ---- */
    const asking = () => (desk.everybody ? "&owner=*" : "");

    function draw(jobs, queue, total) {
      state.queue = queue;
      const run = jobs.filter((job) => job.state === "running");
      const wait = jobs.filter((job) => job.state === "queued").map((job, at) => ({ ...job, place: at + 1 }));
      rows.running.draw(run);
      desk.fresh = false;  // from now on previews are pushed
      for (const { id } of run) if (looks.has(id)) look(rows.running.rows.get(id), looks.get(id));
      looks.clear();
      if (!state.dragging) rows.waiting.draw(wait);
      const counts = [run.length ? `${run.length} drawing` : null, wait.length ? `${total - run.length} waiting` : null].filter(Boolean);
      const last = Math.max(...jobs.map((job) => (job.paused ? 0 : job.progress?.eta?.likely || 0)), 0);
      if (last && counts.length) counts.push(`done in about ${span(last)}`);
      const foreign = queue.all - queue.mine;
      if (foreign > 0 && !desk.everybody) counts.push(`${foreign} of others`);
      summary.textContent = counts.join(" · ") || "All done";
      idle.hidden = run.length + wait.length > 0;
      running.hidden = !run.length;
      waits.hidden = waiting.hidden = !wait.length;
      behind.hidden = total <= jobs.length;
      behind.textContent = `${total - jobs.length} more wait behind these.`;
      drop.hidden = wait.length < 2;
      paused.hidden = !queue.paused;
      if (hold) hold.lastChild.textContent = queue.paused ? "Let the queue go on" : "Pause the queue";
    }

    async function renew() {
      clearTimeout(soon);
      soon = 0;
      try {
        const [order, queue] = await Promise.all([room.api(`queue/jobs?limit=300${asking()}`), room.api("queue")]);
        draw(order.jobs, queue, order.total);
        await renewEnded();
      } catch (error) {
        room.say(error.message, true);
      }
    }
    const renewSoon = () => { soon = soon || setTimeout(renew, 120); };

    async function renewEnded(further = false) {
      const asked = ++state.asked;
      const states = state.filter === "all" || state.filter === "marked" ? ENDED : [state.filter];
      const marked = state.filter === "marked" ? "&bookmarked=true" : "";
      const after = further && state.following ? `&after=${state.following}` : "";
      const limit = further ? PAGE : Math.max(PAGE, state.ended.length);
      const page = await room.api(`jobs?${states.map((one) => `state=${one}`).join("&")}${marked}${after}${asking()}&limit=${Math.min(limit, 1000)}`);
      if (asked !== state.asked) return;  // something else has been asked for since
      state.following = page.following;
      state.ended = further ? [...state.ended, ...page.jobs] : page.jobs;
      rows.ended.draw(state.ended);
      more.hidden = !page.following;
      nothing.hidden = state.ended.length > 0;
      nothing.textContent = state.filter === "all" ? "Jobs that are finished, failed or were stopped stand here." : "There are none of that kind.";
      if (clear) clear.hidden = !state.ended.length;
    }

    /** Previews that came before the list told of their job. */
    const looks = new Map();
    const look = (row, blob) => row.show(URL.createObjectURL(blob), "Unfinished picture");

    function hear(event) {
      const row = rows.running.rows.get(event.job_id);
      if (event.event === "step" && row) row.move({ ...event, stage: ["hires", "detail", "enlarge"].includes(row.job.progress?.stage) ? row.job.progress.stage : "denoise" });
      else if (event.event === "stage" && row) row.move({ stage: event.stage, batch: event.batch, batches: event.batches });
      else if (event.event === "preview") row ? look(row, event.blob) : looks.set(event.job_id, event.blob);
      else renewSoon();
    }

    function enter() {
      desk.fresh = true;
      line = follow({ owner: desk.everybody ? "*" : "", hear, lost: (broken) => { lost.hidden = !broken; } });
      often = setInterval(renewSoon, RENEWAL);
      renew();
    }
    function leave() {
      line?.stop();
      clearInterval(often);
    }
    function reconnect() {
      leave();
      state.ended = [];
      enter();
    }
    presence("queue", enter, leave);
  }

  window.atelierRooms.add("queue", build);
})();
