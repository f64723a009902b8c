import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { WayBack } from '../../../src/docker/reply.js';
import { atEnd, endAll, tempDirectory } from './served.js';

describe('docker: sending a reply', () => {
  afterEach(endAll);

  for (const [fate, taken] of [
    ['reads on', true],
    ['closes its end just before', false],
  ] as const) {
    it(`tells that the kernel ${taken ? 'took' : 'did not take'} it where the caller ${fate}`, async () => {
      const path = join(await tempDirectory(), 'a.sock');
      const server = createServer((req, res) => {
        if (!taken) caller.destroy();
        server.emit('sent', new WayBack(req, res).send(200, {}, false));
      }).listen(path);
      atEnd(() => {
        caller.destroy();
        server.close();
      });
      const sent = once(server, 'sent');
      const caller = connect(path);
      caller.write('POST / HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n');
      expect(await (await sent)[0]).to.equal(taken);
    });
  }
});
