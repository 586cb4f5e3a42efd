import type { Problem } from '../engine/types';
import type { Strings } from './strings';

function treffer(count: number): string {
  return `${count.toLocaleString('de')} Treffer`;
}

function beschreiben({ code, cause, tier }: Problem): string {
  const because = cause.replace(/\.$/, '');
  switch (code) {
    case 'catalog':
      return `Der Katalog konnte nicht geladen werden (${because}). Neuer Versuch läuft.`;
    case 'damaged':
      return 'Geladene Daten sind beschädigt. Neuer Versuch läuft.';
    case 'download':
      return `Download unterbrochen: ${because}. Er wird von selbst fortgesetzt.`;
    case 'tier':
      return tier === 'keyword'
        ? `Die Suche findet nur Wörter: ${because}. Bitte die Seite neu laden.`
        : `Die Suche nutzt nur das Modell ${tier}: ${because}. Bitte die Seite neu laden.`;
    case 'stopped':
      return `Die Suche wurde beendet: ${because}. Bitte die Seite neu laden.`;
    case 'browser':
      return 'Dieser Browser ist zu alt für die Suche. Bitte aktualisieren.';
  }
}

export const GERMAN: Strings = {
  label: 'Suche',
  placeholder: 'Einfach eintippen …',
  clear: 'Löschen',
  results: 'Treffer',
  categories: 'Kategorien',
  all: 'Alle',
  loading: 'Der Katalog wird geladen …',
  learning: (percent) => `Bisher nur Wörter: Die Suche nach Bedeutung wird geladen, ${percent} %`,
  preparing: 'Bisher nur Wörter: Die Suche nach Bedeutung startet …',
  improving: (percent) => `Suche nach Bedeutung. Ein besseres Modell wird geladen, ${percent} %`,
  refining: 'Suche nach Bedeutung. Ein besseres Modell startet …',
  by: { keyword: 'nach Wörtern', other: 'nach Bedeutung und Wörtern' },
  found: treffer,
  announce: (count, first) => (count ? `${treffer(count)}. Erster: ${first}` : 'Nichts gefunden'),
  start: 'In eigenen Worten suchen',
  startHint: 'Ein halbes Wort, ein Tippfehler oder eine Nummer genügt. ↓ und Enter wählen, → zeigt Varianten.',
  none: 'Nichts gefunden',
  noneHint: 'Andere oder weniger Wörter versuchen.',
  noneCategory: 'Nichts in dieser Kategorie. In allen suchen.',
  notClose: 'Nichts Passendes gefunden. Diese Einträge liegen am nächsten.',
  didYouMean: 'Meinten Sie',
  variants: (count) => (count === 1 ? '1 Variante' : `${count.toLocaleString('de')} Varianten`),
  more: 'Mehr zeigen',
  added: 'neu',
  copied: (id) => `${id} kopiert`,
  notStored: 'Dieser Browser behält keine Daten dieser Seite. Der nächste Besuch lädt alles neu.',
  required: 'Bitte einen Eintrag der Liste wählen.',
  problem: beschreiben,
};
