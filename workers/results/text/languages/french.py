"""French."""

from __future__ import annotations

from models.values import catalogue
from models.values.codes import Code
from workers.results.text.languages.language import Language
from workers.results.text.languages.sentences import Sentence

_SENTENCES: dict[str, str] = {
    Sentence.FINDING_PRESENT: (
        "{name} : présence{where} (probabilité calibrée {probability}, égale ou supérieure au seuil {threshold})"
    ),
    Sentence.FINDING_ABSENT: "{name} : absence (probabilité calibrée {probability}, inférieure au seuil {threshold})",
    Sentence.FINDING_INDETERMINATE: (
        "{name} : résultat indéterminé{where} (la probabilité calibrée {probability} se situe entre {low} et {high}, "
        "où le seuil {threshold} est lui-même incertain)"
    ),
    Sentence.DOUBT: (
        "Le seuil est incertain entre {low} et {high} : pour une probabilité dans cet intervalle, le signe est dit "
        "indéterminé, ni présent ni absent"
    ),
    Sentence.CALIBRATED: (
        "La probabilité est calibrée : parmi des images semblables à celles de la validation et de même "
        "probabilité, elle est la proportion de celles qui présentaient le signe"
    ),
    Sentence.RULE_CHOSEN: ("{how}, déterminé sur {images} : sensibilité {sensitivity}, spécificité {specificity}"),
    Sentence.RULE_FIXED: (
        "fixé à {threshold}, non déterminé par des données ; sur {images}, il atteint une sensibilité de {sensitivity} "
        "et une spécificité de {specificity}"
    ),
    Sentence.RULE_SITE: "défini par la configuration de ce site (manifeste : {threshold}, règle : {rule})",
    Sentence.RULE_SITE_POINT: (
        "défini par la configuration de ce site au point de fonctionnement {name}, règle : {other} "
        "(manifeste : {threshold}, règle : {rule})"
    ),
    Sentence.RULE_SENSITIVITY: "seuil le plus élevé ayant une sensibilité d'au moins {least}",
    Sentence.RULE_SPECIFICITY: "seuil le plus bas ayant une spécificité d'au moins {least}",
    Sentence.RULE_YOUDEN: "indice de Youden le plus élevé",
    Sentence.RULE_YOUDEN_FLOOR: (
        "indice de Youden le plus élevé parmi les seuils ayant une sensibilité d'au moins {least}"
    ),
    Sentence.RULE_COST: (
        "coût le plus faible, un cas positif manqué comptant pour {ratio} fausses alertes, à la prévalence de ces "
        "images"
    ),
    Sentence.RULE_COST_AT: (
        "coût le plus faible, un cas positif manqué comptant pour {ratio} fausses alertes, à une prévalence de "
        "{prevalence}"
    ),
    Sentence.RULE_IMAGES: "{count} images de validation ({positive} positives)",
    Sentence.RULE_IMAGES_FOLDS: (
        "{count} images d'entraînement et de validation ({positive} positives ; validation croisée en {folds} parties)"
    ),
    Sentence.ON_THE_RIGHT: "à droite",
    Sentence.ON_THE_LEFT: "à gauche",
    Sentence.ON_BOTH_SIDES: "des deux côtés",
    Sentence.ON_ANOTHER_SIDE: "côté : {side}",
    Sentence.NOT_OUTLINED: "{name} : aucune région délimitée{detail}",
    Sentence.MEASUREMENT: "{name} : {amount}",
    Sentence.NOT_FOUND_IN_SERIES: "{name} : non trouvé dans la série",
    Sentence.ENDS: (
        "{name} : largeur le long de l'horizontale du patient, de la colonne {column_1}, ligne {row_1} à la colonne "
        "{column_2}, ligne {row_2} de l'image source (le coin supérieur gauche du premier pixel est colonne 0, ligne 0)"
    ),
    Sentence.RATIO_OF: (
        "{name} : plus grande largeur du cœur rapportée à celle des deux poumons ensemble, chacune d'un bord extérieur "
        "à l'autre"
    ),
    Sentence.HEART_BOX: "Rectangle englobant le cœur : colonnes {x0} à {x1}, lignes {y0} à {y1} de l'image source",
    Sentence.AT_THE_DETECTOR: (
        "les longueurs et les surfaces sont celles au détecteur, sans correction de l'agrandissement"
    ),
    Sentence.IN_PIXELS: "la taille des pixels n'est pas connue : longueurs et surfaces sont en pixels",
    Sentence.IMPLAUSIBLE_MEASUREMENT: (
        "{name} de {amount} n'est pas plausible : la taille des pixels de l'image source est peut-être erronée"
    ),
    Sentence.NO_REFERENCE: "image {position} de l'examen ; elle ne peut être référencée, son UID n'étant pas valide",
    Sentence.NOT_STORED: (
        "trouvé mais non enregistré comme segmentation, qui devrait faire référence à l'image : {found}"
    ),
    Sentence.SPACING_CALIBRATED: "taille des pixels {rows} x {columns} mm, calibrée ou corrigée de l'agrandissement",
    Sentence.SPACING_AT_DETECTOR: "taille des pixels {rows} x {columns} mm au détecteur",
    Sentence.SPACING_UNKNOWN: "aucune taille de pixel utilisable n'est indiquée",
    Sentence.PIXEL_GRID: "{rows} lignes et {columns} colonnes",
    Sentence.LOSSY: ("l'image a été comprimée avec perte avant sa réception ({how}) ; de fins détails peuvent manquer"),
    Sentence.LOSSY_HOW_UNKNOWN: "méthode et taux non indiqués",
    Sentence.LOSSY_METHOD: "méthode {method}",
    Sentence.LOSSY_RATIO: "taux {ratio}",
    Sentence.NOT_LOSSY: "selon son en-tête, l'image n'a pas été comprimée avec perte",
    Sentence.VIEW_AP: (
        "incidence antéro-postérieure (AP), souvent au lit : le cœur et le médiastin paraissent plus grands qu'en "
        "incidence PA"
    ),
    Sentence.VIEW_PA: "incidence postéro-antérieure (PA)",
    Sentence.VIEW_OTHER: "incidence {view}",
    Sentence.VIEW_NOT_A_TERM: "l'incidence indiquée n'est pas connue",
    Sentence.VIEW_UNKNOWN: "incidence non indiquée ; en incidence AP le cœur paraît plus grand qu'en incidence PA",
    Sentence.LUNGS_CUT_OFF: (
        "les poumons atteignent le bord de l'image ({edges}) : une partie peut manquer, et surfaces et diamètres "
        "peuvent être trop petits"
    ),
    Sentence.LUNGS_COMPLETE: "les poumons n'atteignent pas le bord de l'image",
    Sentence.EDGE_TOP: "en haut",
    Sentence.EDGE_BOTTOM: "en bas",
    Sentence.EDGE_RIGHT: "à droite du patient",
    Sentence.EDGE_LEFT: "à gauche du patient",
    Sentence.NOT_ASSESSED: "la rotation, l'inspiration, l'exposition et le flou de mouvement n'ont pas été évalués",
    Sentence.SUPERSEDES: (
        "remplace des résultats d'une révision antérieure ({kinds}) : ce qu'ils montrent n'est plus valable, même là "
        "où rien ne les remplace. L'archive peut encore les contenir"
    ),
    Sentence.NOTHING_SELECTED: (
        "rien n'est sélectionné dans la révision {revision} ; ce qu'une révision antérieure a sélectionné n'est plus "
        "valable"
    ),
    Sentence.ANALYSED: "image analysée.",
    Sentence.ANALYSED_NOTHING_ASKED: "image analysée ; aucun signe n'était demandé.",
    Sentence.NOT_ANALYSED: "image non analysée : {reason}.",
    Sentence.NOT_ANALYSED_UNREADABLE: "image non analysée : {reason} (SOP Instance UID {uid}, illisible).",
    Sentence.NOT_INTENDED: "image non analysée : aucun algorithme n'est destiné à cette image.",
    Sentence.NOT_COMPUTED: "{name} : non calculé, {reason}.",
    Sentence.OF_IMAGE: "{image} : {text}",
    Sentence.AGE_ASSUMED: (
        "L'image ne donne pas l'âge du patient ; une règle de ce site suppose {age} ans. Les résultats qui dépendent "
        "de l'âge peuvent ne pas être valables"
    ),
    Sentence.INTENDED_AGES_FROM: "destiné aux âges à partir de {first} ans",
    Sentence.INTENDED_AGES_BETWEEN: "destiné aux âges de {first} à moins de {end} ans",
    Sentence.INTENDED_VIEWS: "incidences {views}",
    Sentence.FOOT: "Révision {revision}, {moment} ; objet {uid}",
    Sentence.RESEARCH_ONLY: "Réservé à la recherche - non destiné à un usage clinique",
    Sentence.LIMITS: (
        "{research_only}. Préliminaire, établi par un logiciel ({algorithms}) et non relu par une personne. Des signes "
        "peuvent manquer ou être faux ; ce qui n'est pas mentionné n'a pas été recherché."
    ),
}

_TERMS = {
    # Measurements
    "Cardiothoracic ratio": "Rapport cardiothoracique",
    "Transverse cardiac diameter": "Diamètre cardiaque transverse",
    "Transverse thoracic diameter": "Diamètre thoracique transverse",
    "part of the right lung": "part du poumon droit",
    "part of the left lung": "part du poumon gauche",
    "part of both lungs": "part des deux poumons",
    "volume": "volume",
    "mL": "ml",
    "percent": "%",
    "pixels": "pixels",
    # Reasons
    "Not a projection radiograph": "pas une radiographie de projection",
    "Not an image of the kind that is analysed": "pas une image du type analysé",
    "Slices make no volume that can be analysed": "les coupes ne forment pas un volume analysable",
    "Body part is not the chest": "la région n'est pas le thorax",
    "For Processing image, not For Presentation": "image brute (For Processing), non destinée à l'affichage",
    "View is not frontal": "l'incidence n'est pas de face",
    "More than one frame": "plus d'une image par objet",
    "Patient is not human": "le patient n'est pas humain",
    "Colour image": "image en couleur",
    "Image of energy subtraction, not a plain radiograph": (
        "image de soustraction bi-énergie, pas une radiographie simple"
    ),
    "Image is too small": "image trop petite",
    "No routing rule selects this image": "aucune règle ne retient cette image",
    "Images of the study name different patients": "les images de l'examen nomment des patients différents",
    "Result of this node": "résultat de ce nœud",
    "Not an image": "pas une image",
    "Malformed object": "objet mal formé",
    "Truncated object": "objet tronqué",
    "No pixel data": "pas de données d'image",
    "Implausible number of rows or columns": "nombre de lignes ou de colonnes non plausible",
    "Invalid UID": "UID non valide",
    "Object differs from what was announced": "l'objet n'est pas celui annoncé",
    "Wrong transfer syntax": "mauvaise syntaxe de transfert",
    "Object is too large": "objet trop grand",
    "Pixel data cannot be decoded": "les données d'image ne peuvent être décodées",
    "Same UID as another object": "même UID qu'un autre objet",
    "Image was damaged in the node; send it again": "l'image a été endommagée dans le nœud ; l'envoyer de nouveau",
    "Image is missing in the node; send it again": "l'image manque dans le nœud ; l'envoyer de nouveau",
    "Not a frontal chest radiograph": "pas une radiographie du thorax de face",
    "Two plausible lungs were not found": "deux poumons plausibles n'ont pas été trouvés",
    "Age outside the intended use": "âge hors de l'usage prévu",
    "Age unknown": "âge inconnu",
    "View outside the intended use": "incidence hors de l'usage prévu",
    "Nothing to outline, absent by the classifier": "rien à délimiter, absent selon le classifieur",
    "Classifier that decides about an outline was not run": "le classifieur qui décide du contour n'a pas été exécuté",
    "Analysis failed": "échec de l'analyse",
    "Result withheld, it failed a check of the node": "résultat retenu, un contrôle du nœud a échoué",
    # Names of images, headings of pictures and of the page, and its fixed sentences
    "series": "série",
    "image": "image",
    "UID ending in": "UID se terminant par",
    "Findings": "Signes",
    "Measurements": "Mesures",
    "Not analysed": "Image non analysée",
    "Not computed": "Non calculé",
    "Algorithms": "Algorithmes",
    "Diameters": "Diamètres",
    "Result of automatic analysis": "Résultat de l'analyse automatique",
    "Findings and measurements": "Signes et mesures",
    "Intended use": "Usage prévu",
    "Limits of this result": "Limites de ce résultat",
    "There is no room for more here: the structured report has it all.": (
        "Il n'y a pas la place pour plus ici : le compte rendu structuré contient tout."
    ),
    "STAT study, nothing found above a threshold": "Examen urgent (STAT), rien trouvé au-dessus d'un seuil",
    # What the gate, the decoder and the check of the patient say without numbers
    "this report is filed with the patient of the image that came first, and speaks of no image of another": (
        "ce compte rendu est classé chez le patient de la première image reçue et ne parle d'aucune image d'un autre"
    ),
    "no lung was found": "aucun poumon n'a été trouvé",
    "no right lung was found": "le poumon droit n'a pas été trouvé",
    "no left lung was found": "le poumon gauche n'a pas été trouvé",
    "inverted MONOCHROME1": "inversé (MONOCHROME1)",
    "no window given: robust percentiles": "aucun fenêtrage indiqué : percentiles robustes",
    "spacing given is not plausible": "la taille de pixel indiquée n'est pas plausible",
    "pixel aspect given is not plausible": "le rapport d'aspect des pixels indiqué n'est pas plausible",
    "Patient Orientation is not that of a frontal image": "Patient Orientation n'est pas celle d'une image de face",
}

_NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
FRENCH = Language(
    Code("fr", "RFC5646", "French"), _SENTENCES, {**catalogue.names("fr"), **_TERMS}, decimal=",", group=_NARROW_SPACE
)
