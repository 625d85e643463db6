// Keeps the page for when there is no network. The service writes its files and their digest here.
const FILES = [];
const OURS = `bonafide ${registration.scope} `;
const KEPT = `${OURS}DIGEST`;

addEventListener("install", (event) => {
  const keep = async () => {
    const cache = await caches.open(KEPT);
    await cache.addAll(FILES.map((file) => new Request(file, { cache: "reload" })));
  };
  event.waitUntil(keep());
});

addEventListener("activate", (event) => {
  const tidy = async () => {
    const others = (await caches.keys()).filter((name) => name.startsWith(OURS) && name !== KEPT);
    await Promise.all(others.map((name) => caches.delete(name)));
    if (!others.length) await clients.claim(); // a page that is open has the files of its own version
  };
  event.waitUntil(tidy());
});

addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") return;
  const answer = async () => {
    const cache = await caches.open(KEPT);
    return (await cache.match(event.request)) ?? fetch(event.request);
  };
  event.respondWith(answer());
});
