/**
 * Backups that are made regularly: the time in a file's name, and which older files must be removed so that
 * the disk does not fill. Pure.
 */

/** The part of a file's name that is replaced by the UTC time at which the backup begins. */
export const TIME = "{time}";
/** The form of that time: `20260801T030000Z`. Such names sort by time and are valid on every file system. */
const STAMP = /^\d{8}T\d{6}Z/;
const STAMP_LENGTH = 16;
const PARTIAL = ".partial";

/** The last part of a path. */
export const nameIn = (path: string): string => path.split(/[\\/]/).at(-1) ?? "";

/** Whether the name of a file has the place for the time: exactly once, and not in a folder's name. */
export function carriesTime(path: string): boolean {
  return nameIn(path).includes(TIME) && path.indexOf(TIME) === path.lastIndexOf(TIME);
}

/** The path with the time `now_ms` (Unix ms) in its place. */
export function pathAt(path: string, now_ms: number): string {
  const stamp = new Date(now_ms).toISOString().replaceAll(/[-:]|\.\d+/g, "");
  return path.replace(TIME, stamp);
}

/** The time in a file's name that belongs to `path`; undefined for any other name. */
function stampIn(name: string, path: string): string | undefined {
  const [before = "", behind = ""] = nameIn(path).split(TIME);
  const stamp = name.slice(before.length, before.length + STAMP_LENGTH);
  const is_ours = name.startsWith(before) && STAMP.test(stamp) &&
    name.slice(before.length + STAMP_LENGTH) === behind;
  return is_ours ? stamp : undefined;
}

/**
 * Names in a folder that must be removed so that the newest `keep` backups of `path` stay. Unfinished files
 * that killed backups left before the oldest of these are among them. Names that do not belong to `path` are
 * left alone.
 */
export function outdated(names: readonly string[], path: string, keep: number): string[] {
  const stamped = names.flatMap((name) => {
    const is_whole = !name.endsWith(PARTIAL);
    const stamp = stampIn(is_whole ? name : name.slice(0, -PARTIAL.length), path);
    return stamp === undefined ? [] : [{ name, stamp, is_whole }];
  });
  const whole = stamped.filter(({ is_whole }) => is_whole).map(({ stamp }) => stamp).sort();
  const oldest = whole.at(-keep) ?? whole[0] ?? "";
  return stamped.filter(({ stamp }) => stamp < oldest).map(({ name }) => name).sort();
}
