/**
 * Checks that 32 bytes are a public Ed25519 key that proves something. WebCrypto accepts any 32 bytes; for a point of
 * small order as the key there are signatures that verify for every message.
 */

const PRIME = 2n ** 255n - 19n;
const SIGN_BIT = 2n ** 255n;
/** The curve's d: -121665/121666. */
const D = 0x52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3n;
/** y of a point of order 8; the other such y is its negative. */
const ORDER_8_Y = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
/** y of all points whose order divides 8: of order 4, 1, 2 and twice 8. */
const SMALL_ORDER_Y: ReadonlySet<bigint> = new Set([
  0n,
  1n,
  PRIME - 1n,
  ORDER_8_Y,
  PRIME - ORDER_8_Y,
]);

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = result * base % PRIME;
    base = base * base % PRIME;
  }
  return result;
}

/** Euler's criterion: whether y has an x on the curve, x² = (y² - 1) / (d·y² + 1). */
function isOnCurve(y: bigint): boolean {
  const square = y * y % PRIME;
  const above = (square + PRIME - 1n) % PRIME;
  const below = (D * square + 1n) % PRIME;
  // A quotient is a square exactly if the product is.
  return power(above * below % PRIME, (PRIME - 1n) / 2n) === 1n;
}

/** The problem with 32 bytes as a public Ed25519 key; undefined if there is none. */
export function ed25519KeyProblem(bytes: Uint8Array): string | undefined {
  if (bytes.length !== 32) return "is not 32 bytes long";
  const encoded = BigInt(`0x${new Uint8Array(bytes).reverse().toHex()}`);
  const y = encoded % SIGN_BIT;
  if (y >= PRIME) return "is not encoded as RFC 8032 requires (y is 2^255-19 or more)";
  if (SMALL_ORDER_Y.has(y)) return "is a point of small order, which verifies anything";
  return isOnCurve(y) ? undefined : "is not a point on the curve";
}
