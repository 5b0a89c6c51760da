/**
 * Backups that are made again and again: the time in a file's name, and which older files of that name have to
 * go so that a disk does not fill. Pure.
 */

/** Stands in a file's name for the UTC time at which the backup begins. */
export const TIME = "{time}";
/** `20260801T030000Z`: sorts as it was made, and every file system takes it. */
const STAMP = /^\d{8}T\d{6}Z/;
const STAMP_LENGTH = 16;
const PARTIAL = ".partial";

/** The last part of a path. */
export const nameIn = (path: string): string => path.split(/[\\/]/).at(-1) ?? "";

/** Whether the name of a file carries its time: once, and not in a folder. */
export function carriesTime(path: string): boolean {
  return nameIn(path).includes(TIME) && path.indexOf(TIME) === path.lastIndexOf(TIME);
}

/** The path with the time, Unix ms, where it wants one. */
export function pathAt(path: string, now_ms: number): string {
  const stamp = new Date(now_ms).toISOString().replaceAll(/[-:]|\.\d+/g, "");
  return path.replace(TIME, stamp);
}

/** The stamp in a name that `path` stands for; undefined for any other name. */
function stampIn(name: string, path: string): string | undefined {
  const [before = "", behind = ""] = nameIn(path).split(TIME);
  const stamp = name.slice(before.length, before.length + STAMP_LENGTH);
  const is_ours = name.startsWith(before) && STAMP.test(stamp) &&
    name.slice(before.length + STAMP_LENGTH) === behind;
  return is_ours ? stamp : undefined;
}

/**
 * Of the names in a folder those that have to go, so that the newest `keep` backups of `path` stay; also what
 * killed ones have left before the oldest of these. Names that `path` does not stand for are left alone.
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
