// Pictures come by dropping, pasting or choosing; the server keeps them and draws the cards.
const place = () => element.querySelector('.pictures');
const take = async (files) => {
  const pictures = [...files].filter((file) => file.type.startsWith('image/')).slice(0, 3);
  if (!pictures.length) return;
  place()?.classList.add('busy');
  try {
    const kept = await Promise.all(pictures.map((file) => upload(file)));
    trigger('upload', { paths: kept.map((file) => file.path) });
  } catch {
    trigger('upload', { paths: [] });
  }
  place()?.classList.remove('busy');
};
element.addEventListener('change', (event) => {
  if (event.target.type !== 'file') return;
  take(event.target.files);
  event.target.value = '';
});
for (const kind of ['dragover', 'dragleave', 'drop']) {
  element.addEventListener(kind, (event) => {
    event.preventDefault();
    place()?.classList.toggle('over', kind === 'dragover');
    if (kind === 'drop') take(event.dataTransfer.files);
  });
}
document.addEventListener('paste', (event) => {
  if (element.offsetParent !== null) take(event.clipboardData?.files ?? []);
});
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (button) trigger(button.dataset.act, { index: Number(button.dataset.index) });
});
