// A uri as messages and the list of a version's sources may show it. Pure text.

/** What a query may say in the open: it names one state of the object. */
const NAMES_A_STATE = /^(?:versionid|snapshot)=[^&#]*$/i;

/** Schemes in which what stands before the "@" is a container: a place, and no secret. */
const NAMES_A_CONTAINER = /^(?:az|abfss?|wasbs?):/i;

/**
 * `uri` without what may be secret: whatever stands before the host, unless it is a container's name,
 * and a query that may hold a signature.
 */
export function shownUri(uri: string): string {
  const [, scheme = "", user = "", rest = uri] =
    /^([A-Za-z][A-Za-z0-9+.-]*:\/\/)(?:([^/?#@]*)@)?(.*)$/s.exec(uri) ?? [];
  const shownUser = NAMES_A_CONTAINER.test(scheme) ? (user.split(":")[0] ?? "") : "";
  const question = rest.indexOf("?");
  const query = question < 0 ? "" : rest.slice(question + 1);
  const place = question < 0 ? rest : rest.slice(0, question);
  const shownQuery = question < 0 ? "" : NAMES_A_STATE.test(query) ? `?${query}` : "?...";
  return `${scheme}${shownUser === "" ? "" : `${shownUser}@`}${place}${shownQuery}`;
}
