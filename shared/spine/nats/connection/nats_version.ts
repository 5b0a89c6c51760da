/** Which NATS servers the Spine works with. Pure. */

/** Servers before 2.11 accept concurrent winners of a compare-and-set and ignore the expiry of single keys. */
export const OLDEST_NATS = "2.11.0";

function numbers(version: string): readonly number[] | undefined {
  const found = /^v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})/.exec(version);
  return found?.slice(1).map(Number);
}

/** True if a server with this `version` ("2.15.2", "2.12.0-RC.1") is supported. */
export function isSupportedNats(version: string): boolean {
  const have = numbers(version);
  const oldest = numbers(OLDEST_NATS);
  if (have === undefined || oldest === undefined) return false;
  const differs = have.findIndex((number, at) => number !== oldest[at]);
  return differs === -1 || (have[differs] ?? 0) > (oldest[differs] ?? 0);
}
