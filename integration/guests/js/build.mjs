// Usage: node build.mjs FOLDER-WITH-NODE-MODULES WIT-OF-THE-SYNC-PACKAGE OUTPUT-FOLDER
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const [modules, syncWit, out] = process.argv.slice(2).map((path) => resolve(path));
const here = dirname(fileURLToPath(import.meta.url));
const packages = join(modules, 'node_modules/@bytecodealliance');
const { componentize } = await import(pathToFileURL(join(packages, 'componentize-js/src/componentize.js')));

const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >>> 7)]);
const field = (number, value) =>
  typeof value === 'number'
    ? [...varint(number << 3), ...varint(value)]
    : ((bytes) => [...varint((number << 3) | 2), ...varint(bytes.length), ...bytes])(
        typeof value === 'string' ? [...new TextEncoder().encode(value)] : value,
      );
const OPTIONAL = 1;
const STRING = 9;
const message = (name, fieldName) =>
  field(4, [
    ...field(1, name),
    ...field(2, [...field(1, fieldName), ...field(3, 1), ...field(4, OPTIONAL), ...field(5, STRING)]),
  ]);
const method = (name) => field(2, [...field(1, name), ...field(2, '.hello.Request'), ...field(3, '.hello.Response')]);
// FileDescriptorSet of: service Hello { rpc Call(Request) returns (Response); … and the same for Log and Trap }
const descriptors = field(1, [
  ...field(1, 'hello.proto'),
  ...field(2, 'hello'),
  ...message('Request', 'name'),
  ...message('Response', 'msg'),
  ...field(6, [...field(1, 'Hello'), ...method('Call'), ...method('Log'), ...method('Trap')]),
  ...field(12, 'proto3'),
]);
const customSection = (name, payload) => {
  const text = new TextEncoder().encode(name);
  const content = [...varint(text.length), ...text, ...payload];
  return Uint8Array.from([0, ...varint(content.length), ...content]);
};

await mkdir(out, { recursive: true });

const service = await componentize({
  sourcePath: join(here, 'hello.js'),
  witPath: syncWit,
  worldName: 'service',
  disableFeatures: ['http', 'fetch-event'],
});
const json = new TextEncoder().encode('json\n');
const sections = [customSection('micro:descriptors', descriptors), customSection('micro:codecs', json)];
await writeFile(join(out, 'hello.wasm'), Buffer.concat([service.component, ...sections]));

// The engine inside exports the handler of 0.2.10, the packages at hand are named 0.2.12; between the two nothing
// changed but the number.
const shipped = join(packages, 'jco/lib/wit/builtin/0.2.12');
const wit = await mkdtemp(join(tmpdir(), 'micro-js-wit-'));
for (const name of await readdir(shipped)) {
  const text = await readFile(join(shipped, name, 'package.wit'), 'utf8');
  await mkdir(join(wit, 'deps', name), { recursive: true });
  await writeFile(join(wit, 'deps', name, 'package.wit'), text.replaceAll('0.2.12', '0.2.10'));
}
const world = 'package test:web;\nworld web { export wasi:http/incoming-handler@0.2.10; }\n';
await writeFile(join(wit, 'web.wit'), world);
const web = await componentize({ sourcePath: join(here, 'web.js'), witPath: wit, worldName: 'web' });
await writeFile(join(out, 'web.wasm'), web.component);
await rm(wit, { recursive: true });
