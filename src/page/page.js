// What the page does more with a script: live rows, keys, copying. All else it does without one.
(() => {
  'use strict';
  const one = (what, from = document) => from.querySelector(what);
  const made = (name, text, more = {}) => Object.assign(document.createElement(name), { textContent: text }, more);

  // Live rows. A page that is left or hidden has no stream: a browser has six connections to a host.
  const table = one('table[data-live]');
  if (table && window.EventSource) {
    const most = 200;
    const rows = one('tbody', table);
    const bar = made('p', '', { className: 'live' });
    const button = made('button', 'Pause', { type: 'button' });
    const told = made('span', '', { className: 'quiet' });
    told.setAttribute('role', 'status');
    bar.append(button, ' ', told);
    table.before(bar);
    let last = table.dataset.after, stream = null, paused = false;
    const tell = (words) => { if (told.textContent !== words) told.textContent = words; };
    const close = () => { if (stream) stream.close(); stream = null; };
    const open = () => {
      if (stream || paused || document.hidden) return;
      stream = new EventSource(`${table.dataset.live}&after=${encodeURIComponent(last)}`);
      stream.onopen = () => tell('Live: new rows come by themselves.');
      stream.onerror = () => {
        if (stream && stream.readyState === EventSource.CLOSED) {
          stream = null;
          tell('Not live: too many pages are, or this browser is let in no more. Press r for what is new.');
        } else tell('Not live: the page does not answer; it is tried again.');
      };
      stream.addEventListener('row', (event) => {
        last = event.lastEventId;
        const held = document.createElement('template');
        held.innerHTML = event.data;
        const row = held.content.firstElementChild;
        if (!row) return;
        const empty = one('[data-empty]');
        if (empty) empty.remove();
        rows.prepend(row);
        while (rows.children.length > most) {
          const oldest = rows.lastElementChild;
          if (oldest.contains(document.activeElement)) break;
          oldest.remove();
        }
      });
      stream.addEventListener('gap', () => tell('Live: more come than are shown; the log has all.'));
    };
    button.onclick = () => {
      paused = !paused;
      button.textContent = paused ? 'Go on' : 'Pause';
      if (paused) { close(); tell('Paused.'); } else open();
    };
    addEventListener('pagehide', close);
    addEventListener('pageshow', (event) => { if (event.persisted) open(); });
    document.addEventListener('visibilitychange', () => { if (document.hidden) close(); else open(); });
    open();
  }

  // Copying; without a secure context, as over plain http, a selection is what browsers let be copied.
  for (const text of document.querySelectorAll('pre')) {
    const button = made('button', 'Copy', { type: 'button', className: 'copy' });
    button.onclick = async () => {
      let done = true;
      try {
        await navigator.clipboard.writeText(text.textContent);
      } catch {
        getSelection().selectAllChildren(text);
        done = document.execCommand('copy');
      }
      button.textContent = done ? 'Copied' : 'Selected: copy it by hand';
    };
    text.before(button);
  }

  // Keys.
  const keys = [
    ['/', 'search'], ['j', 'the next row'], ['k', 'the row before'], ['Enter', 'open the row'],
    ['r', 'read the page again'], ['?', 'this help'],
  ];
  const help = () => {
    let dialog = one('dialog.help');
    if (!dialog) {
      dialog = made('dialog', '', { className: 'help' });
      dialog.setAttribute('aria-labelledby', 'keys');
      const list = document.createElement('dl');
      for (const [key, words] of keys) {
        const term = document.createElement('dt');
        term.append(made('kbd', key));
        list.append(term, made('dd', words));
      }
      const form = Object.assign(document.createElement('form'), { method: 'dialog' });
      form.append(made('button', 'Close'));
      dialog.append(made('h2', 'Keys', { id: 'keys' }), list, form);
      document.body.append(dialog);
    }
    dialog.showModal();
  };
  const linked = 'a[href^="/deliveries/"]';
  const link = (row) => one(linked, row) || one('a[href]', row);
  const step = (by) => {
    const rows = [...document.querySelectorAll('tbody tr')].filter(link);
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const row = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))];
    if (row) { link(row).focus(); row.scrollIntoView({ block: 'nearest' }); }
  };
  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || one('dialog[open]')) return;
    if (event.target.closest('input:not([type=checkbox]), textarea, select, [contenteditable]')) return;
    const search = one('input[type=search]');
    const acts = {
      '/': () => { if (search) { search.focus(); search.select(); } else location.assign('/log'); },
      j: () => step(1), k: () => step(-1), r: () => location.reload(), '?': help,
    };
    if (Object.hasOwn(acts, event.key)) { event.preventDefault(); acts[event.key](); }
  });
})();
