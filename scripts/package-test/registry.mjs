// A registry on loopback that holds one package, published as npm publishes it: the manifest of the tarball's package.json,
// the integrity of its bytes.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

/** Serves `tarball`; answers with its address and what was asked for. */
export async function serve(tarball, manifest) {
  const bytes = readFileSync(tarball);
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(request.url);
    const base = `http://127.0.0.1:${server.address().port}`;
    const name = manifest.name;
    if (request.url.endsWith('.tgz')) return response.end(bytes);
    if (decodeURIComponent(request.url.split('?')[0]) !== `/${name}`) {
      response.writeHead(404, { 'content-type': 'application/json' });
      return response.end('{}');
    }
    const dist = {
      tarball: `${base}/${name}/-/${name}-${manifest.version}.tgz`,
      integrity: `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
      shasum: createHash('sha1').update(bytes).digest('hex'),
    };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({
        name,
        'dist-tags': { latest: manifest.version },
        versions: { [manifest.version]: { ...manifest, _id: `${name}@${manifest.version}`, dist } },
        time: { created: '2020-01-01T00:00:00.000Z', [manifest.version]: '2020-01-01T00:00:00.000Z' },
      }),
    );
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, asked, close: () => server.close() };
}
