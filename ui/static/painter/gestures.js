// What a hand does: strokes, lassos and boxes; by mouse, finger, pen or keys.

const LEAST_PRESSURE = 0.25;

/** Return the tools over `scene`; each is begun, moved and ended with places in the picture. */
const newTools = (scene, changed) => {
  let going = null;

  const mark = (a, b) => {
    const area = drawStroke(scene.mask(), a, b, scene.soft, going.erase);
    going.area = joined(going.area, area);
    scene.view.redraw(area);
  };
  const brush = {
    begin(point) { mark(point, point); },
    move(point) {
      mark(going.last, point);
    },
    end() { return going.area; },
  };
  const lasso = {
    begin() {},
    move() {},
    end() { return going.points.length > 2 ? fillLasso(scene.mask(), going.points, going.erase) : NOWHERE; },
  };
  const box = {
    begin() {},
    move(point) { going.points = [going.points[0], point]; },
    end() { return going.points.length > 1 ? fillBox(scene.mask(), ...going.points, going.erase) : NOWHERE; },
  };
  const tools = { brush, lasso, box };

  return {
    get going() { return going; },
    begin(point, erase) {
      const tool = tools[scene.tool];
      if (!tool) return;
      going = { tool: scene.tool, erase, area: NOWHERE, last: point, points: [point] };
      tool.begin(point);
    },
    move(point) {
      if (!going) return;
      if (going.tool === 'lasso') going.points.push(point);
      tools[going.tool].move(point);
      going.last = point;
    },
    end() {
      if (!going) return;
      const area = tools[going.tool].end();
      going = null;
      changed(area);
    },
    /** Take back what was begun: a second finger came down, or Escape was pressed. */
    abort() {
      if (!going) return;
      const { area } = going;
      going = null;
      scene.takeBack(area);
    },
  };
};

/** Return how large the brush is under a pen. */
const radius = (size, event) => {
  const pressed = event.pointerType === 'pen' && event.pressure > 0;
  return onGrid((size / 2) * (pressed ? LEAST_PRESSURE + (1 - LEAST_PRESSURE) * event.pressure : 1));
};

/** Connect pointers with tools: one paints, two zoom and move, the middle button moves. */
const heedPointers = (area, scene, tools) => {
  const down = new Map();
  let moving = false;
  const { view } = scene;

  const local = (event) => {
    const box = area.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const point = (event) => {
    const { x, y } = local(event);
    return { ...view.toPicture(x, y), r: radius(scene.size, event) };
  };
  const erases = (event) => scene.erase !== (event.altKey || (event.buttons & 32) !== 0);
  const spread2 = () => {
    const [a, b] = [...down.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, apart: Math.hypot(a.x - b.x, a.y - b.y) || 1 };
  };

  area.addEventListener('pointerdown', (event) => {
    if (!scene.picture || event.target.closest('button, label, input')) return;
    event.preventDefault();
    area.focus({ preventScroll: true });
    area.setPointerCapture(event.pointerId);
    down.set(event.pointerId, local(event));
    scene.pointAt(null);
    if (down.size > 1) {
      tools.abort();
      moving = true;
    } else if (event.button === 1 || scene.tool === 'hand' || scene.spaceHeld) {
      moving = true;
    } else if (event.button === 0 || event.button === 5) {
      tools.begin(point(event), erases(event));
    }
    scene.showMarks(local(event));
  });
  area.addEventListener('pointermove', (event) => {
    const before = down.get(event.pointerId);
    if (before && moving) moveView(event, before);
    if (before && !moving) {
      const all = event.getCoalescedEvents?.() ?? [];
      for (const one of all.length ? all : [event]) tools.move(point(one));
    }
    if (scene.picture) scene.showMarks(local(event));
  });
  const moveView = (event, before) => {
    const now = local(event), two = down.size === 2 ? spread2() : null;
    down.set(event.pointerId, now);
    if (!two) {
      view.pan(now.x - before.x, now.y - before.y);
      return;
    }
    const after = spread2();
    view.pan(after.x - two.x, after.y - two.y);
    view.zoom(after.apart / two.apart, after);
  };
  const lift = (event, stop) => {
    if (!down.delete(event.pointerId)) return;
    stop();
    // After a pinch the finger that stays down must not draw.
    if (!down.size) moving = false;
  };
  area.addEventListener('pointerup', (event) => lift(event, tools.end));
  area.addEventListener('pointercancel', (event) => lift(event, tools.abort));
  area.addEventListener('pointerleave', () => { if (!down.size) scene.showMarks(null); });
  area.addEventListener('wheel', (event) => {
    // A page is scrolled past; whoever has begun to paint wants to zoom.
    if (!scene.picture || !(event.ctrlKey || area.contains(document.activeElement))) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    if (event.shiftKey) view.pan(-(event.deltaX || event.deltaY) * lines, 0);
    else view.zoom(Math.exp(-event.deltaY * lines * 0.0015), local(event));
  }, { passive: false });
};
