/**
 * Decides which addresses are public, so that a hook's URL cannot reach internal ones: no private, loopback,
 * link-local, shared, multicast or reserved addresses, in any notation. Pure; `call.ts` resolves names.
 */

type Block = readonly [network: number, bits: number];

const v4 = (text: string): number =>
  text.split(".").reduce((value, part) => value * 256 + Number(part), 0);

/** IPv4 blocks that IANA's registry of special-purpose addresses does not list as globally reachable. */
const V4_SPECIAL: readonly Block[] = ([
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
] as const).map(([network, bits]) => [v4(network), bits]);

const V4 = /^\d{1,3}(?:\.\d{1,3}){3}$/;

function isPublicV4(address: number): boolean {
  return !V4_SPECIAL.some(([network, bits]) => {
    const size = 2 ** (32 - bits);
    return address >= network && address < network + size;
  });
}

/** The eight groups of an IPv6 address; undefined for any other text. */
function groupsOf(text: string): number[] | undefined {
  const url = `http://[${text}]/`;
  if (!URL.canParse(url)) return undefined;
  const [head = "", tail] = new URL(url).hostname.slice(1, -1).split("::");
  const read = (part: string | undefined) =>
    part === undefined || part === "" ? [] : part.split(":").map((group) => parseInt(group, 16));
  const before = read(head), after = read(tail);
  return [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
}

/** Whether the address is public; false for invalid ones. */
export function isPublicAddress(text: string): boolean {
  if (V4.test(text)) {
    return text.split(".").every((part) => Number(part) < 256) && isPublicV4(v4(text));
  }
  const groups = groupsOf(text);
  if (groups === undefined) return false;
  const [a = 0, b = 0] = groups;
  // Only 2000::/3 is allocated; addresses with an IPv4 address inside, and those for documentation, are not public.
  if (a < 0x2000 || a > 0x3fff) return false;
  if (a === 0x2001 && (b < 0x200 || b === 0xdb8)) return false;
  return a !== 0x2002 && !(a === 0x3fff && b < 0x1000);
}
