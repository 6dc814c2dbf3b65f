// Painting without a pointer: a cross that arrow keys move, and a key that puts the brush down.

const STEP = 10;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Connect the keys of the canvas. actions: functions by key, of everything the toolbar does. */
const heedKeys = (area, scene, tools, actions) => {
  let cross = null;
  const { view } = scene;

  const brushAt = () => ({ x: onGrid(cross.x), y: onGrid(cross.y), r: onGrid(scene.size / 2) });
  const show = () => {
    scene.pointAt(cross);
    scene.showMarks(view.toScreen(cross.x, cross.y));
  };
  const centre = () => {
    const { width, height } = view.size, { x, y } = view.toPicture(width / 2, height / 2);
    cross ??= { x: Math.min(scene.width, Math.max(0, x)), y: Math.min(scene.height, Math.max(0, y)) };
  };
  const step = ([dx, dy], event) => {
    const far = event.altKey ? 1 : ((event.shiftKey ? 5 : 1) * STEP) / view.scale;
    cross.x = Math.min(scene.width, Math.max(0, cross.x + dx * far));
    cross.y = Math.min(scene.height, Math.max(0, cross.y + dy * far));
    tools.move(brushAt());
    followed();
  };
  /** Move the picture so that the cross stays in sight. */
  const followed = () => {
    const at = view.toScreen(cross.x, cross.y), { width, height } = view.size, edge = 24;
    const dx = Math.max(0, edge - at.x) - Math.max(0, at.x - (width - edge));
    const dy = Math.max(0, edge - at.y) - Math.max(0, at.y - (height - edge));
    if (dx || dy) view.pan(dx, dy);
  };
  const press = () => {
    if (tools.going) tools.end();
    else tools.begin(brushAt(), scene.erase);
  };

  area.addEventListener('keydown', (event) => {
    if (!scene.picture || event.target !== area || event.isComposing) return;
    const command = event.ctrlKey || event.metaKey, arrow = ARROWS[event.key];
    if (arrow && command) view.pan(-40 * arrow[0], -40 * arrow[1]);
    else if (arrow || (event.key === 'Enter' && !command)) {
      centre();
      if (arrow) step(arrow, event);
      else press();
      show();
    } else if (event.key === ' ') scene.spaceHeld = true;
    else if (event.key === 'Escape' && tools.going) tools.abort();
    else if (!actions(event.key.toLowerCase(), command, event.shiftKey)) return;
    event.preventDefault();
    event.stopPropagation();
  });
  area.addEventListener('keyup', (event) => { if (event.key === ' ') scene.spaceHeld = false; });
  area.addEventListener('blur', () => {
    scene.spaceHeld = false;
    // A line that was begun stays; a shape that was not closed is none.
    if (tools.going?.tool === 'brush') tools.end();
    else tools.abort();
    cross = null;
    scene.pointAt(null);
    scene.showMarks(null);
  });
};
