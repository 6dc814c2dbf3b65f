// Thin lines over the picture: the brush's edge, a lasso or a box under way, the cross of the keys.

/** Return a function that draws them; `at`: where the pointer is on the screen, or null. */
const newMarks = (svg, scene, tools) => {
  let cross = null;
  const path = (shape) => `<path class="halo" d="${shape}"/><path class="thread" d="${shape}"/>`;
  const circle = ({ x, y }, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
  const line = (points) => points.map(({ x, y }, i) => `${i ? 'L' : 'M'}${x} ${y}`).join('');
  const toScreen = ({ x, y }) => scene.view.toScreen(x, y);

  const underway = () => {
    const going = tools.going;
    if (going?.tool === 'lasso') return path(`${line(going.points.map(toScreen))}Z`);
    if (going?.tool !== 'box' || going.points.length < 2) return '';
    const [a, b] = going.points.map(toScreen);
    return path(`M${a.x} ${a.y}H${b.x}V${b.y}H${a.x}Z`);
  };
  return {
    pointAt(place) { cross = place; },
    show(at) {
      const round = at && scene.picture && scene.tool === 'brush' && !scene.spaceHeld;
      const edge = round ? path(circle(at, Math.max(1, (scene.size / 2) * scene.view.scale))) : '';
      const c = cross && toScreen(cross);
      svg.innerHTML = underway() + edge + (c ? path(`M${c.x - 12} ${c.y}h24M${c.x} ${c.y - 12}v24`) : '');
    },
  };
};
