"""German."""

from __future__ import annotations

from models.values import catalogue
from models.values.codes import Code
from workers.results.text.languages.language import Language
from workers.results.text.languages.sentences import Sentence

_SENTENCES: dict[str, str] = {
    Sentence.FINDING_PRESENT: (
        "{name}: vorhanden{where} (kalibrierte Wahrscheinlichkeit {probability}, "
        "erreicht oder überschreitet den Schwellenwert {threshold})"
    ),
    Sentence.FINDING_ABSENT: (
        "{name}: nicht vorhanden (kalibrierte Wahrscheinlichkeit {probability}, unter dem Schwellenwert {threshold})"
    ),
    Sentence.FINDING_INDETERMINATE: (
        "{name}: unbestimmt{where} (die kalibrierte Wahrscheinlichkeit {probability} liegt zwischen {low} und {high}, "
        "wo der Schwellenwert {threshold} selbst unsicher ist)"
    ),
    Sentence.DOUBT: (
        "Der Schwellenwert ist zwischen {low} und {high} unsicher: Liegt die Wahrscheinlichkeit in diesem Bereich, "
        "gilt der Befund als unbestimmt, weder vorhanden noch nicht vorhanden"
    ),
    Sentence.CALIBRATED: (
        "Die Wahrscheinlichkeit ist kalibriert: Unter Bildern wie denen der Validierung mit derselben "
        "Wahrscheinlichkeit ist sie der Anteil derer, die den Befund hatten"
    ),
    Sentence.RULE_CHOSEN: "{how}, bestimmt an {images}: Sensitivität {sensitivity}, Spezifität {specificity}",
    Sentence.RULE_FIXED: (
        "fest auf {threshold} gesetzt, nicht aus Daten bestimmt; an {images} erreicht er die Sensitivität "
        "{sensitivity} und die Spezifität {specificity}"
    ),
    Sentence.RULE_SITE: "durch die Konfiguration dieses Standorts gesetzt (Manifest: {threshold}, Regel: {rule})",
    Sentence.RULE_SITE_POINT: (
        "durch die Konfiguration dieses Standorts auf den Arbeitspunkt {name} gesetzt, Regel: {other} "
        "(Manifest: {threshold}, Regel: {rule})"
    ),
    Sentence.RULE_SENSITIVITY: "höchster Schwellenwert mit einer Sensitivität von mindestens {least}",
    Sentence.RULE_SPECIFICITY: "niedrigster Schwellenwert mit einer Spezifität von mindestens {least}",
    Sentence.RULE_YOUDEN: "höchster Youden-Index",
    Sentence.RULE_YOUDEN_FLOOR: (
        "höchster Youden-Index unter den Schwellenwerten mit einer Sensitivität von mindestens {least}"
    ),
    Sentence.RULE_COST: (
        "geringste Kosten, wobei ein übersehener positiver Fall wie {ratio} Fehlalarme zählt, bei der Prävalenz dieser "
        "Bilder"
    ),
    Sentence.RULE_COST_AT: (
        "geringste Kosten, wobei ein übersehener positiver Fall wie {ratio} Fehlalarme zählt, bei einer Prävalenz von "
        "{prevalence}"
    ),
    Sentence.RULE_IMAGES: "{count} Validierungsbildern ({positive} positiv)",
    Sentence.RULE_IMAGES_FOLDS: (
        "{count} Trainings- und Validierungsbildern ({positive} positiv; Kreuzvalidierung in {folds} Teilen)"
    ),
    Sentence.ON_THE_RIGHT: "rechts",
    Sentence.ON_THE_LEFT: "links",
    Sentence.ON_BOTH_SIDES: "beidseits",
    Sentence.ON_ANOTHER_SIDE: "Seite: {side}",
    Sentence.NOT_OUTLINED: "{name}: kein Bereich umrissen{detail}",
    Sentence.MEASUREMENT: "{name}: {amount}",
    Sentence.NOT_FOUND_IN_SERIES: "{name}: in der Serie nicht gefunden",
    Sentence.ENDS: (
        "{name}: Breite entlang der Horizontalen des Patienten, von Spalte {column_1}, Zeile {row_1} bis Spalte "
        "{column_2}, Zeile {row_2} der Aufnahme (die obere linke Ecke des ersten Pixels ist Spalte 0, Zeile 0)"
    ),
    Sentence.RATIO_OF: (
        "{name}: größte Breite des Herzens geteilt durch die größte Breite beider Lungen zusammen, jeweils von "
        "Außenrand zu Außenrand"
    ),
    Sentence.HEART_BOX: "Umschließendes Rechteck des Herzens: Spalten {x0} bis {x1}, Zeilen {y0} bis {y1} der Aufnahme",
    Sentence.AT_THE_DETECTOR: "Längen und Flächen gelten in der Detektorebene, ohne Korrektur der Vergrößerung",
    Sentence.IN_PIXELS: "der Pixelabstand ist nicht bekannt: Längen und Flächen sind in Pixeln angegeben",
    Sentence.IMPLAUSIBLE_MEASUREMENT: (
        "{name}: {amount} sind nicht plausibel; der Pixelabstand der Aufnahme ist möglicherweise falsch"
    ),
    Sentence.NO_REFERENCE: (
        "Bild {position} der Studie; auf das Bild kann nicht verwiesen werden, weil seine UID ungültig ist"
    ),
    Sentence.NOT_STORED: (
        "gefunden, aber nicht als Segmentierung gespeichert, weil diese auf das Bild verweisen müsste: {found}"
    ),
    Sentence.SPACING_CALIBRATED: "Pixelabstand {rows} x {columns} mm, kalibriert oder um die Vergrößerung korrigiert",
    Sentence.SPACING_AT_DETECTOR: "Pixelabstand {rows} x {columns} mm in der Detektorebene",
    Sentence.SPACING_UNKNOWN: "kein brauchbarer Pixelabstand angegeben",
    Sentence.PIXEL_GRID: "{rows} Zeilen und {columns} Spalten",
    Sentence.LOSSY: (
        "die Aufnahme wurde vor dem Empfang verlustbehaftet komprimiert ({how}); feine Details können fehlen"
    ),
    Sentence.LOSSY_HOW_UNKNOWN: "Verfahren und Verhältnis nicht angegeben",
    Sentence.LOSSY_METHOD: "Verfahren {method}",
    Sentence.LOSSY_RATIO: "Verhältnis {ratio}",
    Sentence.NOT_LOSSY: "die Aufnahme wurde laut Bildkopf nicht verlustbehaftet komprimiert",
    Sentence.VIEW_AP: (
        "AP-Aufnahme, oft am Bett angefertigt: Herz und Mediastinum erscheinen größer als in der PA-Aufnahme"
    ),
    Sentence.VIEW_PA: "PA-Aufnahme",
    Sentence.VIEW_OTHER: "Projektion {view}",
    Sentence.VIEW_NOT_A_TERM: "die angegebene Projektion ist keine bekannte",
    Sentence.VIEW_UNKNOWN: (
        "Projektion nicht angegeben; in einer AP-Aufnahme erscheint das Herz größer als in einer PA-Aufnahme"
    ),
    Sentence.LUNGS_CUT_OFF: (
        "die Lungen reichen bis an den Bildrand ({edges}): Teile können fehlen, Flächen und Durchmesser können zu "
        "klein sein"
    ),
    Sentence.LUNGS_COMPLETE: "die Lungen reichen nicht bis an den Bildrand",
    Sentence.EDGE_TOP: "oben",
    Sentence.EDGE_BOTTOM: "unten",
    Sentence.EDGE_RIGHT: "rechte Seite des Patienten",
    Sentence.EDGE_LEFT: "linke Seite des Patienten",
    Sentence.NOT_ASSESSED: "Rotation, Inspirationstiefe, Belichtung und Bewegungsunschärfe wurden nicht beurteilt",
    Sentence.SUPERSEDES: (
        "ersetzt Ergebnisse einer früheren Revision ({kinds}): Was sie zeigen, gilt nicht mehr, auch wo nichts an ihre "
        "Stelle tritt. Im Archiv können sie noch vorhanden sein"
    ),
    Sentence.NOTHING_SELECTED: (
        "in Revision {revision} ist nichts ausgewählt; was eine frühere Revision ausgewählt hat, gilt nicht mehr"
    ),
    Sentence.ANALYSED: "ausgewertet.",
    Sentence.ANALYSED_NOTHING_ASKED: "ausgewertet; es wurde nach keinem Befund gefragt.",
    Sentence.NOT_ANALYSED: "nicht ausgewertet: {reason}.",
    Sentence.NOT_ANALYSED_UNREADABLE: "nicht ausgewertet: {reason} (SOP Instance UID {uid}, nicht lesbar).",
    Sentence.NOT_INTENDED: "nicht ausgewertet: Für diese Aufnahme ist kein Algorithmus bestimmt.",
    Sentence.NOT_COMPUTED: "{name} nicht berechnet: {reason}.",
    Sentence.OF_IMAGE: "{image}: {text}",
    Sentence.AGE_ASSUMED: (
        "Das Bild nennt kein Alter des Patienten; eine Regel dieses Standorts nimmt {age} Jahre an. Befunde, die vom "
        "Alter abhängen, gelten womöglich nicht"
    ),
    Sentence.INTENDED_AGES_FROM: "bestimmt für ein Alter ab {first} Jahren",
    Sentence.INTENDED_AGES_BETWEEN: "bestimmt für ein Alter von {first} bis unter {end} Jahren",
    Sentence.INTENDED_VIEWS: "Projektionen {views}",
    Sentence.FOOT: "Revision {revision}, {moment}; Objekt {uid}",
    Sentence.RESEARCH_ONLY: "Nur für Forschungszwecke - nicht für die klinische Anwendung",
    Sentence.LIMITS: (
        "{research_only}. Vorläufig, von Software erstellt ({algorithms}) und von niemandem geprüft. Befunde können "
        "übersehen werden oder falsch sein; nach dem, was nicht genannt ist, wurde nicht gesucht."
    ),
}

_TERMS = {
    # Measurements
    "Cardiothoracic ratio": "Herz-Thorax-Quotient",
    "Transverse cardiac diameter": "Transversaler Herzdurchmesser",
    "Transverse thoracic diameter": "Transversaler Thoraxdurchmesser",
    "part of the right lung": "Anteil an der rechten Lunge",
    "part of the left lung": "Anteil an der linken Lunge",
    "part of both lungs": "Anteil an beiden Lungen",
    "volume": "Volumen",
    "mL": "ml",
    "percent": "%",
    "pixels": "Pixel",
    # Reasons
    "Not a projection radiograph": "keine Projektionsradiographie",
    "Not an image of the kind that is analysed": "kein Bild der Art, die analysiert wird",
    "Slices make no volume that can be analysed": "die Schichten bilden kein auswertbares Volumen",
    "Body part is not the chest": "Körperregion ist nicht der Thorax",
    "For Processing image, not For Presentation": "Rohbild (For Processing), nicht zur Darstellung aufbereitet",
    "View is not frontal": "keine frontale Projektion",
    "More than one frame": "mehr als ein Einzelbild",
    "Patient is not human": "Patient ist kein Mensch",
    "Colour image": "Farbbild",
    "Image of energy subtraction, not a plain radiograph": (
        "Bild einer Energiesubtraktion, keine gewöhnliche Röntgenaufnahme"
    ),
    "Image is too small": "Bild ist zu klein",
    "No routing rule selects this image": "keine Regel wählt dieses Bild aus",
    "Images of the study name different patients": "Bilder der Studie nennen verschiedene Patienten",
    "Result of this node": "Ergebnis dieses Knotens",
    "Not an image": "kein Bild",
    "Malformed object": "fehlerhaftes Objekt",
    "Truncated object": "abgeschnittenes Objekt",
    "No pixel data": "keine Bilddaten",
    "Implausible number of rows or columns": "unplausible Anzahl von Zeilen oder Spalten",
    "Invalid UID": "ungültige UID",
    "Object differs from what was announced": "Objekt ist nicht das angekündigte",
    "Wrong transfer syntax": "falsche Transfersyntax",
    "Object is too large": "Objekt ist zu groß",
    "Pixel data cannot be decoded": "Bilddaten können nicht dekodiert werden",
    "Same UID as another object": "gleiche UID wie ein anderes Objekt",
    "Image was damaged in the node; send it again": "Bild wurde im Knoten beschädigt; bitte erneut senden",
    "Image is missing in the node; send it again": "Bild fehlt im Knoten; bitte erneut senden",
    "Not a frontal chest radiograph": "keine frontale Thoraxaufnahme",
    "Two plausible lungs were not found": "es wurden nicht zwei plausible Lungen gefunden",
    "Age outside the intended use": "Alter außerhalb der Zweckbestimmung",
    "Age unknown": "Alter unbekannt",
    "View outside the intended use": "Projektion außerhalb der Zweckbestimmung",
    "Nothing to outline, absent by the classifier": "nichts zu umreißen, laut Klassifikator nicht vorhanden",
    "Classifier that decides about an outline was not run": "der Klassifikator, der darüber entscheidet, lief nicht",
    "Analysis failed": "Auswertung fehlgeschlagen",
    "Result withheld, it failed a check of the node": "Ergebnis zurückgehalten, eine Prüfung des Knotens schlug fehl",
    # Names of images, headings of pictures and of the page, and its fixed sentences
    "series": "Serie",
    "image": "Bild",
    "UID ending in": "UID endet auf",
    "Findings": "Befunde",
    "Measurements": "Messungen",
    "Not analysed": "Nicht ausgewertet",
    "Not computed": "Nicht berechnet",
    "Algorithms": "Algorithmen",
    "Diameters": "Durchmesser",
    "Result of automatic analysis": "Ergebnis der automatischen Auswertung",
    "Findings and measurements": "Befunde und Messungen",
    "Intended use": "Zweckbestimmung",
    "Limits of this result": "Grenzen dieses Ergebnisses",
    "There is no room for more here: the structured report has it all.": (
        "Für mehr ist hier kein Platz: Der strukturierte Bericht enthält alles."
    ),
    "STAT study, nothing found above a threshold": "STAT-Untersuchung, nichts über einem Schwellenwert gefunden",
    # What the gate, the decoder and the check of the patient say without numbers
    "this report is filed with the patient of the image that came first, and speaks of no image of another": (
        "dieser Bericht ist beim Patienten des zuerst empfangenen Bildes abgelegt und spricht von keinem Bild eines "
        "anderen"
    ),
    "no lung was found": "keine Lunge gefunden",
    "no right lung was found": "keine rechte Lunge gefunden",
    "no left lung was found": "keine linke Lunge gefunden",
    "inverted MONOCHROME1": "invertiert (MONOCHROME1)",
    "no window given: robust percentiles": "keine Fensterung angegeben: robuste Perzentile",
    "spacing given is not plausible": "angegebener Pixelabstand ist nicht plausibel",
    "pixel aspect given is not plausible": "angegebenes Pixelseitenverhältnis ist nicht plausibel",
    "Patient Orientation is not that of a frontal image": "Patient Orientation ist nicht die einer frontalen Aufnahme",
}

GERMAN = Language(
    Code("de", "RFC5646", "German"), _SENTENCES, {**catalogue.names("de"), **_TERMS}, decimal=",", group="."
)
