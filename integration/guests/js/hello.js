// A service on `micro:platform-sync`, as a JavaScript author would write it before there is an SDK.
import { write } from 'micro:platform-sync/log@0.1.0';

const methods = {
  'Hello.Call': ({ name = '' }) => {
    if (name === '') throw { id: 'hello-js', code: 400, detail: 'Name cannot be blank', status: 'Bad Request' };
    return { msg: `Hello ${name}` };
  },
  'Hello.Log': ({ name = '' }) => {
    write('info', `called by ${name}`, [['name', name]]);
    return {};
  },
  'Hello.Trap': () => {
    throw new Error('not an error of the contract');
  },
};

export const handler = {
  handle(_context, endpoint, codec, request) {
    if (codec !== 'json') throw { id: 'hello-js', code: 415, detail: `codec ${codec}`, status: '' };
    const method = methods[endpoint];
    if (!method) throw { id: 'hello-js', code: 404, detail: `no endpoint ${endpoint}`, status: 'Not Found' };
    const message = request.length === 0 ? {} : JSON.parse(new TextDecoder().decode(request));
    return new TextEncoder().encode(JSON.stringify(method(message)));
  },
};
