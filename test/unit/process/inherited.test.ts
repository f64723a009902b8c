import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, renameSync } from 'node:fs';
import { lstat, mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { takeInherited } from '../../../src/process/inherited.js';
import { PluginClient } from '../../support/plugin-client.js';
import { PROGRAM } from '../../support/program.js';

describe('process: a socket that was passed on', () => {
  let directory: string;
  let path: string;
  let maker: Server;
  let stop = () => {};

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'passed on-'));
    path = join(directory, 'a.sock');
    maker = createServer().listen(path);
    await once(maker, 'listening');
  });
  afterEach(async () => {
    stop();
    if (maker.listening) await new Promise((resolve) => maker.close(resolve));
    await rm(directory, { recursive: true });
  });

  const fdOf = (server: object) => (server as { _handle: { fd: number } })._handle.fd;
  const passed = (pid: string | undefined, count?: string, more = {}) => ({
    LISTEN_PID: pid,
    LISTEN_FDS: count,
    ...more,
  });
  const take = (pid: string | undefined, count: string | undefined, fd = fdOf(maker)) => {
    try {
      return takeInherited(passed(pid, count), 77, fd);
    } catch (error) {
      return (error as Error).message;
    }
  };

  it('is taken with its path if it is meant for this process, and its variables are gone from the environment', () => {
    const environment = passed('77', '1', { LISTEN_FDNAMES: 'a.socket', PATH: '/bin' });
    expect(takeInherited(environment, 77, fdOf(maker))).to.deep.equal({ fd: fdOf(maker), path });
    expect(environment).to.deep.equal({ PATH: '/bin' });
  });

  it('is none without LISTEN_PID, and another process’s under its pid; the variables go all the same', () => {
    expect(take(undefined, '1')).to.equal(undefined);
    const environment = passed('78', '1');
    expect(takeInherited(environment, 77, fdOf(maker))).to.equal(undefined);
    expect(environment).to.deep.equal({});
  });

  it('is refused by name for a pid or a count that is none, and for two sockets', () => {
    for (const pid of ['', '0', '-77', '77x', '0x4d'])
      expect(take(pid, '1')).to.equal(`LISTEN_PID is "${pid}": a process id`);
    for (const count of ['', '0', '-1', '2', '1.0', 'one'])
      expect(take('77', count)).to.equal(`LISTEN_FDS is "${count}": 1, since one socket is served`);
    expect(take('77', undefined)).to.equal('LISTEN_FDS is "": 1, since one socket is served');
  });

  it('is refused when it is closed, a file, a TCP port, a connection, or a socket without a path', async () => {
    const refused = (fd: number) =>
      expect(take('77', '1', fd)).to.equal(
        `descriptor ${fd} was passed on (LISTEN_FDS) and is not a Unix socket that listens at a path`,
      );
    refused(9999);
    const file = openSync('/dev/null', 'r');
    refused(file);
    closeSync(file);
    const tcp = createServer().listen(0, '127.0.0.1');
    const abstract = createServer().listen(`\0${directory}`);
    await Promise.all([once(tcp, 'listening'), once(abstract, 'listening')]);
    for (const server of [tcp, abstract]) refused(fdOf(server));
    const accepted = once(maker, 'connection');
    const connection = connect(path);
    const [peer] = await accepted;
    for (const end of [peer, connection]) refused(fdOf(end));
    for (const end of [peer, connection]) end.destroy();
    for (const server of [tcp, abstract]) await new Promise((resolve) => server.close(resolve));
  });

  it('is served by the program: a call from before its start is answered, and its end leaves the file', async () => {
    // Closing a server removes the file under the name it was bound by, so that is elsewhere meanwhile.
    const aside = `${path}.aside`;
    renameSync(path, aside);
    const command = 'sleep 0.5; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@" serve';
    const other = join(directory, 'other.sock');
    const settings = { IPAM_SOCKET: other, IPAM_OPS_LISTEN: '', ETCD_ENDPOINTS: 'http://127.0.0.1:9' };
    const env = { ...process.env, IPAM_MACHINE_ID: 'x', ...settings };
    const program = spawn('sh', ['-c', command, process.execPath, ...PROGRAM], {
      stdio: ['ignore', 'pipe', 'inherit', fdOf(maker)],
      env,
    });
    let output = '';
    program.stdout?.on('data', (chunk) => {
      output += chunk;
    });
    const ended = once(program, 'close');
    stop = () => void program.kill('SIGKILL');
    await new Promise((resolve) => maker.close(resolve));
    renameSync(aside, path);
    const { ino } = await lstat(path);

    const client = new PluginClient({ socketPath: path });
    const answer = await client.call('/Plugin.Activate', undefined, { signal: AbortSignal.timeout(60_000) });
    expect(answer.json).to.deep.equal({ Implements: ['IpamDriver'] });
    client.close();
    program.kill('SIGTERM');
    expect(await ended).to.deep.equal([0, null]);
    expect((await lstat(path)).ino).to.equal(ino);
    const lines = output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.find(({ msg }) => msg === 'listening').addresses).to.deep.equal([path]);
    expect(lines.map(({ msg }) => msg)).to.include(
      `IPAM_SOCKET is "${other}", and not made: ${path} was passed on to be served`,
    );
    expect(existsSync(other)).to.equal(false);
  });
});
