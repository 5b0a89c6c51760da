/** Receipts of publishes: how to ask for one, and where it is. */
import { strictText } from "@arqon/proto";

/** Headers of a publish whose ACK is to have a receipt: `publish(type, data, { headers: WITH_RECEIPT })`. */
export const WITH_RECEIPT: Readonly<Record<string, string>> = { "x-arqon-receipt": "1" };

/** The signed receipt of a publish, which `arq proof verify` checks; undefined: the room has none. */
export function receiptIn({ result }: { readonly result: Uint8Array }): string | undefined {
  return result.length === 0 ? undefined : JSON.parse(strictText(result)).receipt;
}
