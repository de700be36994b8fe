// Before the first paint, so that nobody in a dark room sees a white flash. A file of its own, since the server allows no inline scripts.
try {
  var theme = localStorage.getItem('foldin-theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch (_) {
  // Storage may be forbidden; the system's choice stands.
}
