import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, renameSync, watch } from 'node:fs';
import { chmod, lstat, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { groupId, listenOnPath, type SocketOptions } from '../../../src/process/socket.js';

describe('process: a server on a Unix path', () => {
  let directory: string;
  let path: string;
  let servers: Server[];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sock-'));
    path = join(directory, 'a.sock');
    servers = [];
  });
  afterEach(async () => {
    for (const server of servers) await new Promise((resolve) => server.close(resolve));
    await rm(directory, { recursive: true });
  });

  const listen = async (at = path, options?: SocketOptions) => {
    const server = createServer((socket) => socket.on('error', () => {}).end(`${servers.indexOf(server)}`));
    servers.push(server);
    return listenOnPath(server, at, options);
  };
  const whoAnswers = async () => String((await once(connect(path), 'data'))[0]);
  const refusal = (promise: Promise<unknown>) =>
    promise.then(
      () => 'nothing was refused',
      (error: Error) => error.message,
    );

  it('has mode 0600, 0660 with a group, or the one asked for, and leaves nothing beside it', async () => {
    const group = process.getgid?.() ?? 0;
    const mode = async (at: string) => ((await lstat(at)).mode & 0o777).toString(8);
    const [b, c] = [join(directory, 'b.sock'), join(directory, 'c.sock')];
    await listen();
    await listen(b, { group });
    await listen(c, { mode: 0o666 });
    expect([await mode(path), await mode(b), await mode(c)]).to.deep.equal(['600', '660', '666']);
    expect((await lstat(b)).gid).to.equal(group);
    expect(await readdir(directory)).to.deep.equal(['a.sock', 'b.sock', 'c.sock']);
    expect(await whoAnswers()).to.equal('0');
  });

  it('belongs to a group given by number or name', async function () {
    if (process.getuid?.() !== 0) this.skip();
    await listen(path, { group: '12345' });
    expect((await lstat(path)).gid).to.equal(12345);
    const [name = '', , id] = (await readFile('/etc/group', 'utf8')).split('\n')[1]?.split(':') ?? [];
    const named = join(directory, 'named.sock');
    await listen(named, { group: name });
    expect((await lstat(named)).gid).to.equal(Number(id));
  });

  it('is never seen with another mode than its own, nor before it listens', async () => {
    const seen: Promise<string>[] = [];
    const old = process.umask(0);
    const watcher = watch(directory, (_, name) => {
      if (name !== 'a.sock') return;
      seen.push(lstat(path).then(async ({ mode }) => `${(mode & 0o777).toString(8)} answers as ${await whoAnswers()}`));
    });
    try {
      await listen();
      await whoAnswers();
    } finally {
      process.umask(old);
      watcher.close();
    }
    expect(new Set(await Promise.all(seen))).to.deep.equal(new Set(['600 answers as 0']));
  });

  it('makes its directories, for others only if the socket is, and leaves those that are there', async () => {
    await chmod(directory, 0o755);
    const deep = join(directory, 'plugins', 'x', 'a.sock');
    await listen(deep);
    expect(existsSync(deep)).to.equal(true);
    await listen(join(directory, 'shared', 'a.sock'), { mode: 0o660 });
    const modes = ['.', 'plugins', 'plugins/x', 'shared'].map(
      async (name) => (await lstat(join(directory, name))).mode,
    );
    expect((await Promise.all(modes)).map((mode) => (mode & 0o777).toString(8))).to.deep.equal([
      ...['755', '700', '700', '755'],
    ]);
  });

  it('says where it could not be made: below a file', async () => {
    await writeFile(join(directory, 'file'), '');
    const below = join(directory, 'file', 'a.sock');
    expect(await refusal(listen(below))).to.match(/^no socket can be made in \S+\/file: E(EXIST|NOTDIR): /);
  });

  it('replaces the socket that a killed process left', async () => {
    await leaveStale(path);
    const stale = await lstat(path);
    expect(stale.isSocket()).to.equal(true);
    await listen();
    expect(await whoAnswers()).to.equal('0');
    expect(await readdir(directory)).to.deep.equal(['a.sock']);
  });

  it('refuses a path that another process serves, and leaves it serving', async () => {
    await listen();
    expect(await refusal(listen())).to.equal(`${path} is served by another process`);
    expect(await whoAnswers()).to.equal('0');
    expect(await readdir(directory)).to.deep.equal(['a.sock']);
  });

  it('refuses a path that a stopped process serves', async () => {
    const child = listeningChild(path);
    try {
      await once(child.stdout, 'data');
      child.kill('SIGSTOP');
      expect(await refusal(listen())).to.equal(`${path} is served by another process`);
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });

  it('lets one of 8 starters at once win', async () => {
    await leaveStale(path);
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => listen()));
    expect(results.filter((result) => result.status === 'fulfilled')).to.have.length(1);
    const winner = results.findIndex((result) => result.status === 'fulfilled');
    expect(await whoAnswers()).to.equal(String(winner));
  });

  it('gives up when another that started at once renames its socket over this one', async () => {
    const rival = createServer((socket) => socket.end('rival'));
    servers.push(rival);
    await new Promise<void>((resolve) => rival.listen(join(directory, 'rival'), resolve));
    const refused = refusal(listen());
    while (!existsSync(path)) await new Promise(setImmediate);
    renameSync(join(directory, 'rival'), path);
    expect(await refused).to.equal(`${path} was taken by another process`);
    expect(await whoAnswers()).to.equal('rival');
    expect(await readdir(directory)).to.deep.equal(['a.sock']);
  });

  it('refuses a file, a directory and a symbolic link, and never deletes them', async () => {
    await writeFile(path, 'precious');
    expect(await refusal(listen())).to.equal(`${path} exists and is not a socket`);
    expect(await readFile(path, 'utf8')).to.equal('precious');
    const pointer = join(directory, 'pointer.sock');
    await symlink(path, pointer);
    expect(await refusal(listen(pointer))).to.equal(`${pointer} exists and is not a socket`);
    const folder = join(directory, 'folder');
    await listen(join(folder, 'b.sock'));
    expect(await refusal(listen(folder))).to.equal(`${folder} exists and is not a socket`);
  });

  it('takes a path of 107 bytes and refuses one of 108', async () => {
    const long = (bytes: number) => join(directory, 'x'.repeat(bytes - Buffer.byteLength(directory) - 1));
    expect((await listen(long(107))).path).to.have.length(107);
    await once(connect(long(107)), 'data');
    expect(await refusal(listen(long(108)))).to.equal(`socket path ${long(108)} has 108 bytes, the limit is 107`);
    const deep = join(directory, 'd'.repeat(98 - Buffer.byteLength(directory) - 1), 'a.sock');
    expect(await refusal(listen(deep))).to.contain('has 98 bytes, the limit is 97');
    expect(existsSync(join(deep, '..'))).to.equal(false);
  });

  it('is removed once, and a successor at the same path is left alone', async () => {
    const first = await listen();
    await rm(path);
    const second = await listen();
    await first.remove();
    await new Promise((resolve) => servers.shift()?.close(resolve));
    expect(existsSync(path)).to.equal(true);
    await second.remove();
    await second.remove();
    expect(existsSync(path)).to.equal(false);
  });

  it('refuses a group that does not exist', async () => {
    expect(await refusal(groupId('no-such-group'))).to.equal('group "no-such-group" is not in /etc/group');
    await chmod(directory, 0o755);
    expect(await refusal(listen(path, { group: 'no-such-group' }))).to.contain('no-such-group');
    expect(await readdir(directory)).to.deep.equal([]);
  });
});

function listeningChild(path: string) {
  const program = `require('net').createServer().listen(process.argv[1], () => console.log('listening'))`;
  return spawn(process.execPath, ['-e', program, path], { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function leaveStale(path: string): Promise<void> {
  const child = listeningChild(path);
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
}
