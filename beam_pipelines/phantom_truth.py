"""What the phantom knows of its own images: the oracle beside the tree."""

import io
from typing import Any

import cv2
import numpy as np

from beam_pipelines.phantom_encoding import GreyMapping
from beam_pipelines.phantom_imagedb import Mark
from beam_pipelines.phantom_manufacturers import Manufacturer
from beam_pipelines.phantom_nbss import episode_status
from beam_pipelines.phantom_picture import Picture
from beam_pipelines.phantom_plan import Client, Episode, PlannedImage, Study

MASK_REDUCTION = 8


def truth_archive(picture: Picture) -> bytes:
    rows, columns = picture.mask.shape
    small = cv2.resize(
        picture.mask.astype(np.uint8),
        (columns // MASK_REDUCTION, rows // MASK_REDUCTION),
        interpolation=cv2.INTER_AREA,
    ).astype(bool)
    arrays: dict[str, np.ndarray] = {
        "mask": np.packbits(small),
        "mask_shape": np.array(small.shape),
    }
    for place, lesion in enumerate(picture.lesions):
        arrays[f"layer_{place}"] = lesion.layer.astype(np.float16)
        arrays[f"corner_{place}"] = np.array(lesion.corner)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def episode_row(client: Client, episode: Episode) -> dict[str, Any]:
    return {
        "client": client.client_id,
        "episode": episode.episode_id,
        "kind": episode.kind,
        "malignant": int(any(item.pathology == "malignant" for item in episode.lesions)),
        "benign": int(any(item.pathology == "benign" for item in episode.lesions)),
        "date": episode.date.isoformat(),
        "status": episode_status(episode),
        "density": round(client.body.density, 3),
        "client_quirk": client.quirk or "",
    }


def image_row(
    client: Client,
    episode: Episode,
    study: Study,
    image: PlannedImage,
    manufacturer: Manufacturer,
    mapping: GreyMapping,
    picture: Picture,
) -> dict[str, Any]:
    raw = image.purpose == "processing"
    return {
        "client": client.client_id,
        "episode": episode.episode_id,
        "study": study.uid,
        "event": study.event,
        "series": image.series_uid,
        "sop": image.sop_uid,
        "side": image.side,
        "view": image.view,
        "purpose": image.purpose,
        "shot": image.shot,
        "damage": image.damage,
        "manufacturer": manufacturer.name,
        "syntax": manufacturer.syntax,
        "voi": "" if raw else mapping.voi,
        "photometric": manufacturer.raw_photometric if raw else mapping.photometric,
        "bits": manufacturer.raw_bits if raw else mapping.bits,
        "lesions": len(picture.lesions),
        "labelled": int(picture.labelled),
        "older_sidecar": int(client.older_sidecars),
    }


def lesion_rows(client: Client, image: PlannedImage, picture: Picture) -> list[dict[str, Any]]:
    return [
        {
            "client": client.client_id,
            "sop": image.sop_uid,
            "side": image.side,
            "view": image.view,
            "number": drawn.lesion.number,
            "place": place,
            "kind": drawn.lesion.look.kind,
            "pathology": drawn.lesion.pathology,
            "margin": drawn.lesion.look.margin,
            "morphology": drawn.lesion.look.morphology,
            "size_mm": round(drawn.lesion.look.size_mm, 2),
            "contrast": round(drawn.lesion.look.contrast, 3),
            "conspicuity": drawn.lesion.conspicuity,
            "evidence": drawn.lesion.evidence,
            "x0": drawn.box[0],
            "y0": drawn.box[1],
            "x1": drawn.box[2],
            "y1": drawn.box[3],
        }
        for place, drawn in enumerate(picture.lesions)
    ]


def mark_row(client: Client, image: PlannedImage, mark: Mark) -> dict[str, Any]:
    return {
        "client": client.client_id,
        "sop": image.sop_uid,
        "mark": mark.mark_id,
        "linked": ",".join(mark.numbers),
        "pathology": mark.lesion.pathology,
        "kind": mark.lesion.look.kind,
        "conspicuity": mark.lesion.conspicuity,
        "quirk": mark.quirk or "",
        "x0": mark.box[0],
        "y0": mark.box[1],
        "x1": mark.box[2],
        "y1": mark.box[3],
    }
