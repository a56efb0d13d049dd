// What of the suite does not concern a program that serves lines of text and is not written to over HTTP.

// Groups that are about writing, or about what a file has not.
export const notOfReading = /^(Append Operations|Idempotent Producer Operations|Stream Closure|Fork - .*|TTL .*|JSON Mode|.*[Ss]ubscription.*)$/;

const JSON_STREAM = 'it asks for a stream of JSON values as one array; a file has lines';
const BINARY = 'it asks for base64 in an event stream of bytes that are no text';

// Tests of the other groups, each with the reason.
export const inapplicable = {
  'should include Cache-Control: no-store on HEAD responses': 'HEAD has the fields of GET (RFC 9110, 9.3.2), of which a cache may keep the answer and ask again',
  'should return empty JSON array for offset=now on JSON streams': JSON_STREAM,
  'JSON SSE catch-up pairs every data event with a control event': JSON_STREAM,
  'should wrap JSON data in arrays for SSE and produce valid JSON': JSON_STREAM,
  'should handle JSON payloads with embedded newlines safely': JSON_STREAM,
  'should return TTL metadata if configured': 'a file does not expire',
  'base64 SSE catch-up pairs every data event with a control event': BINARY,
  'should auto-detect binary streams and return base64 encoded data in SSE mode': BINARY,
  'should include Stream-SSE-Data-Encoding header for binary streams': BINARY,
  'should handle large binary payload with auto-detected base64 encoding': BINARY,
  'should handle binary data with special bytes using auto-detected base64 encoding': BINARY,
  'should auto-detect base64 encoding for application/x-protobuf streams': BINARY,
  'should auto-detect base64 encoding for image/png streams': BINARY,
};
