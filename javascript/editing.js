/* The door of the Edit room, which stands before the room itself is fetched: other rooms send pictures through it, and
   Generate asks it for what the room has to send along. */
(() => {
  "use strict";
  if (window.atelierEdit) return;
  const waiting = { what: null, sides: [0, 0, 0, 0] };
  let facts = { native: 512, img2img: true, inpaint: true };
  let room = null;

  function deliver() {
    const what = waiting.what;
    if (!room || what === null) return;
    waiting.what = null;
    room.take(what);
  }

  window.atelierEdit = {
    /** Open the Edit room with that picture: an id of the gallery, an address of the studio, or a Blob. */
    take(what) {
      waiting.what = what;
      window.atelierRooms.go("edit");
      deliver();
    },
    /** Whether a picture is on its way into the room, which then needs no draft. */
    expects: () => waiting.what !== null,
    /** What the model that is chosen can do. */
    facts: () => facts,
    /** Left, right, top and bottom of the margins as the form has them. */
    sides: () => waiting.sides,
    /** The values for Generate: while the Edit room is open, with word of the picture and mask that were sent. */
    async fill(values, at) {
      if (window.atelierRooms.now() !== "edit") return values;
      let told;
      try {
        if (!room) throw new Error("The picture is still being brought; press Generate again in a moment.");
        told = await room.send();
      } catch (error) {
        told = { problem: error.message };
      }
      return values.map((value, place) => (place === at ? JSON.stringify(told) : value));
    },
    /** Gradio says which model there is now. */
    raise(element, props, watch) {
      const hear = () => {
        facts = props.value || facts;
        room?.fit();
      };
      watch("value", hear);
      hear();
    },
    /** Gradio says how far the frame is to grow. */
    margins(sides) {
      waiting.sides = sides.map((side) => Math.max(0, Number(side) || 0));
      room?.grow();
    },
    /** The room stands. */
    settle(made) {
      room = made;
      deliver();
    },
  };
})();
