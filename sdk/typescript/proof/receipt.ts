/** Receipts of publishes: how to request and read them. */
import { strictText } from "@arqon/proto";

/** Headers that request a receipt in the ACK of a publish: `publish(type, data, { headers: WITH_RECEIPT })`. */
export const WITH_RECEIPT: Readonly<Record<string, string>> = { "x-arqon-receipt": "1" };

/** The signed receipt of a publish, which `arq proof verify` checks; undefined if the room has none. */
export function receiptIn({ result }: { readonly result: Uint8Array }): string | undefined {
  return result.length === 0 ? undefined : JSON.parse(strictText(result)).receipt;
}
