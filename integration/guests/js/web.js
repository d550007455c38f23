// Plain `wasi:http` by the fetch event: nothing here knows which platform runs it.
addEventListener('fetch', (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const url = new URL(request.url);
  switch (url.pathname.split('/').pop()) {
    case 'hello':
      return new Response('hello');
    case 'echo':
      return new Response(request.body, { headers: { 'content-type': 'application/octet-stream' } });
    case 'json':
      return Response.json({ msg: `Hello ${url.searchParams.get('name') ?? 'nobody'}` });
    case 'trap':
      throw new Error('failed on purpose');
    default:
      return new Response('no such scenario', { status: 404 });
  }
}
