// etcd's room, who this process is: machine, boot and instance. Refuses to know what follows from it.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';

const MACHINE_ID = ['/etc/machine-id', '/var/lib/dbus/machine-id'];
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/**
 * The configured identity (IPAM_MACHINE_ID), else the first readable file that holds one.
 * @throws Error naming the files, when none does (empty, or "uninitialized" as systemd writes on the first boot)
 */
export function machineId(configured?: string, files: readonly string[] = MACHINE_ID): string {
  if (configured) return configured;
  for (const file of files) {
    const id = firstLine(file);
    if (id && id !== 'uninitialized') return id;
  }
  throw new Error(
    `no machine id in ${files.join(' or ')}: set IPAM_MACHINE_ID to something that stays this host's own`,
  );
}

/** Changes with every boot of the kernel, and with nothing else. */
export function bootId(file: string = BOOT_ID): string {
  const id = firstLine(file);
  if (!id) throw new Error(`no boot id in ${file}: the driver needs a Linux kernel's /proc`);
  return id;
}

/** Eight random bytes in hex, one per process. */
export function instanceId(): string {
  return randomBytes(8).toString('hex');
}

function firstLine(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').split('\n', 1)[0]?.trim();
  } catch {
    return undefined;
  }
}
