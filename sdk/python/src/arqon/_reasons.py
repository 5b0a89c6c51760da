"""One exception per reason. Made from proto/errors.json by generate.py: do not edit."""

from arqon.errors import ArqonError

__all__ = [
    "Admission",
    "AnswerTimeout",
    "AtCapacity",
    "AuditUnavailable",
    "BanLimit",
    "Banned",
    "BrainUnavailable",
    "BudgetExhausted",
    "CallRejected",
    "CommandForbidden",
    "CommandTimeout",
    "ConnectionClosed",
    "ConnectionLost",
    "Disconnected",
    "Draining",
    "FenceMismatch",
    "Flooding",
    "FrameTooLarge",
    "GrowingConflict",
    "GrowingEnded",
    "GrowingForbidden",
    "GrowingLimit",
    "GrowingUnknown",
    "HandlerFailed",
    "HeartbeatLost",
    "HostNotAllowed",
    "IncompatibleVersion",
    "Internal",
    "InvalidCommand",
    "InvalidField",
    "InvalidFilter",
    "InvalidPolicy",
    "InvalidRoom",
    "InvalidSchema",
    "InvalidSettings",
    "KeysUnavailable",
    "Locked",
    "LogUnavailable",
    "MalformedBody",
    "MalformedFrame",
    "MemberLimit",
    "MessageTooLarge",
    "MethodNotAllowed",
    "NotAWebsocket",
    "NotAcceptable",
    "NotDurable",
    "NotFound",
    "NotGranted",
    "NotSubscribed",
    "OriginNotAllowed",
    "PayloadCount",
    "PolicyChainFuel",
    "PolicyConflict",
    "PolicyFault",
    "PolicyLoading",
    "PolicyRejected",
    "PolicyUnknown",
    "PresenceDisabled",
    "PresenceUnavailable",
    "ProcessUnavailable",
    "RateLimited",
    "RefreshMismatch",
    "RefreshRefused",
    "RepeatedField",
    "ReservedHeader",
    "ReservedType",
    "RevocationLimit",
    "RoleForbidden",
    "RoomBanned",
    "RoomBytesLimit",
    "RoomLimit",
    "SchemaIncompatible",
    "SchemaUnavailable",
    "SchemaUnknown",
    "SchemaViolation",
    "SettingsConflict",
    "SignalForbidden",
    "SignatureInvalid",
    "SignatureNoKey",
    "SignatureRequired",
    "SigningFailed",
    "SlowConsumer",
    "SpineUnavailable",
    "TenantMismatch",
    "TenantQuota",
    "TicketInvalid",
    "TokenAlgorithm",
    "TokenAudience",
    "TokenClaim",
    "TokenExpired",
    "TokenIssuer",
    "TokenMalformed",
    "TokenMissing",
    "TokenNotYetValid",
    "TokenRevoked",
    "TokenScope",
    "TokenSignature",
    "TokenTooLarge",
    "TokenUnknownKey",
    "TooLarge",
    "TooManyConnections",
    "TooManyFilters",
    "TooManyHeaders",
    "TooManyPending",
    "TooManyProtocolErrors",
    "TooManyRooms",
    "UnknownField",
    "UnknownOpcode",
    "Unreachable",
    "UnsupportedMediaType",
    "UnsupportedSubprotocol",
    "VersionConflict",
]


class MalformedFrame(ArqonError):
    """400: Malformed frame: …."""

    reason = "malformed-frame"


class UnknownOpcode(ArqonError):
    """400: Unknown opcode: …."""

    reason = "unknown-opcode"


class RepeatedField(ArqonError):
    """400: Repeated field: …."""

    reason = "repeated-field"


class UnknownField(ArqonError):
    """400: Unknown field: …."""

    reason = "unknown-field"


class PayloadCount(ArqonError):
    """400: Payload count: …."""

    reason = "payload-count"


class InvalidRoom(ArqonError):
    """400: Invalid room: …."""

    reason = "invalid-room"


class InvalidField(ArqonError):
    """400: Invalid field: …."""

    reason = "invalid-field"


class TooManyHeaders(ArqonError):
    """400: Too many headers: …."""

    reason = "too-many-headers"


class NotDurable(ArqonError):
    """400: Not durable: …."""

    reason = "not-durable"


class InvalidFilter(ArqonError):
    """400: Invalid filter: …."""

    reason = "invalid-filter"


class InvalidCommand(ArqonError):
    """400: Invalid command: …."""

    reason = "invalid-command"


class UnsupportedSubprotocol(ArqonError):
    """400: Unsupported subprotocol: …."""

    reason = "unsupported-subprotocol"


class NotAWebsocket(ArqonError):
    """400: Not a websocket: …."""

    reason = "not-a-websocket"


class MalformedBody(ArqonError):
    """400: Malformed body: …."""

    reason = "malformed-body"


class SchemaViolation(ArqonError):
    """400: Schema violation: …."""

    reason = "schema-violation"


class TokenMissing(ArqonError):
    """401: Token missing."""

    reason = "token-missing"


class TokenMalformed(ArqonError):
    """401: Token malformed: …."""

    reason = "token-malformed"


class TokenTooLarge(ArqonError):
    """401: Token too large: …."""

    reason = "token-too-large"


class TokenAlgorithm(ArqonError):
    """401: Token algorithm: …."""

    reason = "token-algorithm"


class TokenIssuer(ArqonError):
    """401: Token issuer: …."""

    reason = "token-issuer"


class TokenAudience(ArqonError):
    """401: Token audience: …."""

    reason = "token-audience"


class TokenUnknownKey(ArqonError):
    """401: Token unknown key: …."""

    reason = "token-unknown-key"


class TokenSignature(ArqonError):
    """401: Token signature: …."""

    reason = "token-signature"


class TokenExpired(ArqonError):
    """401: Token expired."""

    reason = "token-expired"


class TokenNotYetValid(ArqonError):
    """401: Token not yet valid."""

    reason = "token-not-yet-valid"


class TokenClaim(ArqonError):
    """401: Token claim: …."""

    reason = "token-claim"


class TokenScope(ArqonError):
    """401: Token scope: …."""

    reason = "token-scope"


class RefreshMismatch(ArqonError):
    """401: Refresh mismatch: …."""

    reason = "refresh-mismatch"


class RefreshRefused(ArqonError):
    """401: Refresh refused: …."""

    reason = "refresh-refused"


class TokenRevoked(ArqonError):
    """401: The token was revoked…."""

    reason = "token-revoked"


class TenantMismatch(ArqonError):
    """403: Tenant mismatch: …."""

    reason = "tenant-mismatch"


class NotGranted(ArqonError):
    """403: Not granted: …."""

    reason = "not-granted"


class ReservedType(ArqonError):
    """403: Reserved type: …."""

    reason = "reserved-type"


class SignalForbidden(ArqonError):
    """403: Signal forbidden: …."""

    reason = "signal-forbidden"


class ReservedHeader(ArqonError):
    """403: Reserved header: …."""

    reason = "reserved-header"


class SignatureInvalid(ArqonError):
    """403: Signature invalid."""

    reason = "signature-invalid"


class SignatureNoKey(ArqonError):
    """403: The message is signed, its token has no key."""

    reason = "signature-no-key"


class SignatureRequired(ArqonError):
    """403: Signature required: …."""

    reason = "signature-required"


class OriginNotAllowed(ArqonError):
    """403: Origin not allowed: …."""

    reason = "origin-not-allowed"


class RoleForbidden(ArqonError):
    """403: Role forbidden: …."""

    reason = "role-forbidden"


class PolicyRejected(ArqonError):
    """403: Message blocked by policy…."""

    reason = "policy-rejected"


class CallRejected(ArqonError):
    """403: Call rejected: …."""

    reason = "call-rejected"


class PolicyFault(ArqonError):
    """503: Message blocked by policy…."""

    reason = "policy-fault"


class PolicyLoading(ArqonError):
    """503: The policies are being loaded…."""

    reason = "policy-loading"


class PolicyChainFuel(ArqonError):
    """503: The policies of the message cost too much…."""

    reason = "policy-chain-fuel"


class HostNotAllowed(ArqonError):
    """403: Host not allowed: …."""

    reason = "host-not-allowed"


class Banned(ArqonError):
    """403: You are banned from this tenant…."""

    reason = "banned"


class Disconnected(ArqonError):
    """403: Disconnected: …."""

    reason = "disconnected"


class RoomBanned(ArqonError):
    """403: You are banned from room …."""

    reason = "room-banned"


class CommandForbidden(ArqonError):
    """403: Command forbidden: …."""

    reason = "command-forbidden"


class PresenceDisabled(ArqonError):
    """403: Presence disabled: …."""

    reason = "presence-disabled"


class NotFound(ArqonError):
    """404: Not found: …."""

    reason = "not-found"


class NotSubscribed(ArqonError):
    """404: Not subscribed: …."""

    reason = "not-subscribed"


class MethodNotAllowed(ArqonError):
    """405: Method not allowed: …."""

    reason = "method-not-allowed"


class NotAcceptable(ArqonError):
    """406: Not acceptable: …."""

    reason = "not-acceptable"


class TicketInvalid(ArqonError):
    """401: Ticket invalid: …."""

    reason = "ticket-invalid"


class CommandTimeout(ArqonError):
    """408: The Brain did not answer in … ms."""

    reason = "command-timeout"


class VersionConflict(ArqonError):
    """409: The room is at version …."""

    reason = "version-conflict"


class Locked(ArqonError):
    """409: The room is locked by …."""

    reason = "locked"


class FenceMismatch(ArqonError):
    """409: Fence mismatch: …."""

    reason = "fence-mismatch"


class HeartbeatLost(ArqonError):
    """408: Heartbeat lost: …."""

    reason = "heartbeat-lost"


class TooLarge(ArqonError):
    """413: Too large: …."""

    reason = "too-large"


class FrameTooLarge(ArqonError):
    """413: Frame too large: …."""

    reason = "frame-too-large"


class MessageTooLarge(ArqonError):
    """413: Message too large: …."""

    reason = "message-too-large"


class UnsupportedMediaType(ArqonError):
    """415: Unsupported media type: …."""

    reason = "unsupported-media-type"


class RateLimited(ArqonError):
    """429: Rate limited: …."""

    reason = "rate-limited"


class TooManyRooms(ArqonError):
    """429: Too many rooms: …."""

    reason = "too-many-rooms"


class TooManyFilters(ArqonError):
    """429: Too many filters: …."""

    reason = "too-many-filters"


class TooManyConnections(ArqonError):
    """429: Too many connections: …."""

    reason = "too-many-connections"


class TooManyPending(ArqonError):
    """429: Too many pending: …."""

    reason = "too-many-pending"


class RoomLimit(ArqonError):
    """429: Room limit: …."""

    reason = "room-limit"


class RoomBytesLimit(ArqonError):
    """429: The tenant's rooms may not take more than …."""

    reason = "room-bytes-limit"


class MemberLimit(ArqonError):
    """429: Member limit: …."""

    reason = "member-limit"


class BanLimit(ArqonError):
    """429: Ban limit: …."""

    reason = "ban-limit"


class TenantQuota(ArqonError):
    """429: The tenant's quota of … is used up."""

    reason = "tenant-quota"


class BudgetExhausted(ArqonError):
    """429: Budget exhausted: …."""

    reason = "budget-exhausted"


class RevocationLimit(ArqonError):
    """429: Revocation limit: …."""

    reason = "revocation-limit"


class SlowConsumer(ArqonError):
    """429: Slow consumer."""

    reason = "slow-consumer"


class Flooding(ArqonError):
    """429: Flooding: …."""

    reason = "flooding"


class TooManyProtocolErrors(ArqonError):
    """429: Too many protocol errors."""

    reason = "too-many-protocol-errors"


class Internal(ArqonError):
    """500: Internal error."""

    reason = "internal"


class SpineUnavailable(ArqonError):
    """503: Spine unavailable: …."""

    reason = "spine-unavailable"


class BrainUnavailable(ArqonError):
    """503: Brain unavailable."""

    reason = "brain-unavailable"


class KeysUnavailable(ArqonError):
    """503: Keys unavailable."""

    reason = "keys-unavailable"


class Draining(ArqonError):
    """503: This node is shutting down."""

    reason = "draining"


class PresenceUnavailable(ArqonError):
    """503: Presence unavailable: …."""

    reason = "presence-unavailable"


class AtCapacity(ArqonError):
    """503: At capacity: …."""

    reason = "at-capacity"


class SchemaUnavailable(ArqonError):
    """503: Schema unavailable: …."""

    reason = "schema-unavailable"


class IncompatibleVersion(ArqonError):
    """503: Incompatible version: …."""

    reason = "incompatible-version"


class LogUnavailable(ArqonError):
    """503: Log unavailable: …."""

    reason = "log-unavailable"


class Admission(ArqonError):
    """503: Admission: …."""

    reason = "admission"


class ProcessUnavailable(ArqonError):
    """503: Process unavailable: …."""

    reason = "process-unavailable"


class Unreachable(ArqonError):
    """503: Unreachable: …."""

    reason = "unreachable"


class ConnectionLost(ArqonError):
    """503: Connection lost: …."""

    reason = "connection-lost"


class ConnectionClosed(ArqonError):
    """400: Connection closed: …."""

    reason = "connection-closed"


class AnswerTimeout(ArqonError):
    """408: No answer within … ms."""

    reason = "answer-timeout"


class SigningFailed(ArqonError):
    """400: Signing failed: …."""

    reason = "signing-failed"


class HandlerFailed(ArqonError):
    """400: Handler failed: …."""

    reason = "handler-failed"


class AuditUnavailable(ArqonError):
    """503: Audit unavailable: …."""

    reason = "audit-unavailable"


class InvalidPolicy(ArqonError):
    """400: Invalid policy: …."""

    reason = "invalid-policy"


class PolicyUnknown(ArqonError):
    """404: Policy unknown: …."""

    reason = "policy-unknown"


class PolicyConflict(ArqonError):
    """409: Policy conflict: …."""

    reason = "policy-conflict"


class InvalidSchema(ArqonError):
    """400: Invalid schema: …."""

    reason = "invalid-schema"


class SchemaUnknown(ArqonError):
    """404: Schema unknown: …."""

    reason = "schema-unknown"


class SchemaIncompatible(ArqonError):
    """409: Schema incompatible: …."""

    reason = "schema-incompatible"


class SettingsConflict(ArqonError):
    """409: Settings conflict: …."""

    reason = "settings-conflict"


class InvalidSettings(ArqonError):
    """400: Invalid settings: …."""

    reason = "invalid-settings"


class GrowingUnknown(ArqonError):
    """404: Growing unknown: …."""

    reason = "growing-unknown"


class GrowingConflict(ArqonError):
    """409: Growing conflict: …."""

    reason = "growing-conflict"


class GrowingEnded(ArqonError):
    """409: Growing ended: …."""

    reason = "growing-ended"


class GrowingLimit(ArqonError):
    """429: Growing limit: …."""

    reason = "growing-limit"


class GrowingForbidden(ArqonError):
    """403: Growing forbidden: …."""

    reason = "growing-forbidden"
