"""Draws all files of one patient of the phantom in memory, and the rows of truth beside them."""

import io
import json
from collections.abc import Iterator, Mapping

import cv2
import numpy as np
from pydicom.dataset import Dataset

from beam_pipelines.phantom.breast import IMAGE_SHAPES, SPACINGS_MM
from beam_pipelines.phantom.dicom import (
    MANUFACTURERS,
    GreyMapping,
    Header,
    Manufacturer,
    dicom_dataset,
    draw_mapping,
    file_bytes,
    set_unknown_syntax,
    sidecar_bytes,
)
from beam_pipelines.phantom.omidb_json import Mark, draw_box, episode_status, imagedb, nbss
from beam_pipelines.phantom.picture import Picture, draw_picture
from beam_pipelines.phantom.plan import Client, Episode, PlannedImage, Study
from cgan_tf.data.keyed import keyed_generator

MASK_REDUCTION = 8

Row = dict[str, str | int | float]  # of a table of the truth


def truth_archive(picture: Picture) -> bytes:
    """The npz of a picture: its lesion layers and its breast mask, see `phantom.job`."""
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


def episode_row(client: Client, episode: Episode) -> Row:
    """What truth/episodes.csv says of an episode."""
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
) -> Row:
    """What truth/images.csv says of an image."""
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


def lesion_rows(client: Client, image: PlannedImage, picture: Picture) -> list[Row]:
    """What truth/lesions.csv says of the lesions of an image."""
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
            **({"noise": round(picture.noise, 5)} if client.difficulty == "screening" else {}),
        }
        for place, drawn in enumerate(picture.lesions)
    ]


def mark_row(client: Client, image: PlannedImage, mark: Mark) -> Row:
    """What truth/marks.csv says of a mark."""
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


def draw_client(seed: int, client: Client, size: str) -> Iterator[tuple[str, bytes]]:
    """Yields (path relative to the root, content) of every file of a client."""
    marks: dict[str, list[Mark]] = {}
    rows: dict[str, list[Row]] = {"images": [], "marks": [], "lesions": []}
    rows["episodes"] = [episode_row(client, episode) for episode in client.episodes]
    quirk = client.quirk
    for episode, study, image, picture in _pictures(seed, client, size):
        found = []
        annotated = study.event == "SCREENING" and image.purpose == "presentation"
        if client.boxes and annotated and image.shot == "standard" and not image.damage:
            found = _marks(seed, client, image, picture, quirk)
            quirk = None if found else quirk  # one mark of the client has it
        marks[image.sop_uid] = found
        yield from _image_files(seed, client, episode, study, image, picture, size, rows)
        rows["marks"] += [mark_row(client, image, mark) for mark in found]
    folder = f"DATA/{client.client_id}"
    columns = IMAGE_SHAPES[size][1]
    yield f"{folder}/IMAGEDB_{client.client_id}.json", _json(imagedb(client, marks, columns))
    yield f"{folder}/NBSS_{client.client_id}.json", _json(nbss(client))
    yield f"truth/{client.client_id}/rows.json", _json(rows)


def _pictures(
    seed: int, client: Client, size: str
) -> Iterator[tuple[Episode, Study, PlannedImage, Picture]]:
    """Every image with its picture; images of the same view of an episode share one."""
    for episode in client.episodes:
        drawn: dict[tuple[str, str], Picture] = {}
        key = (client.index, episode.episode_id)
        for study in episode.studies:
            for image in study.images:
                side, view = image.side, image.view
                if (side, view) not in drawn:
                    drawn[side, view] = draw_picture(
                        seed, key, client.body, episode.lesions, side, view, size, client.difficulty
                    )
                yield episode, study, image, drawn[side, view]


def _marks(
    seed: int, client: Client, image: PlannedImage, picture: Picture, quirk: str | None
) -> list[Mark]:
    rng = keyed_generator(seed, client.index, image.sop_uid, "marks")
    shape = picture.display.shape
    drawn = list(picture.lesions)
    numbers: list[tuple[str, ...]] = [(item.lesion.number,) for item in drawn]
    boxes = [draw_box(rng, item.box, shape) for item in drawn]
    if client.quirk == "linked_two" and len(drawn) == 2:
        drawn, numbers = drawn[:1], [("1", "2")]
        boxes = [_union(*boxes)]
    first = 10000 + 100 * client.index + 10 * int(image.series_uid.rsplit(".", 1)[1])
    return [
        Mark(first + place, item.lesion, linked, box, quirk if place == 0 else None)
        for place, (item, linked, box) in enumerate(zip(drawn, numbers, boxes, strict=True))
    ]


def _union(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _image_files(
    seed: int,
    client: Client,
    episode: Episode,
    study: Study,
    image: PlannedImage,
    picture: Picture,
    size: str,
    rows: dict[str, list[Row]],
) -> Iterator[tuple[str, bytes]]:
    manufacturer = MANUFACTURERS[client.manufacturer]
    # The twins of a view share the mapping of that view.
    mapping = draw_mapping(
        keyed_generator(seed, client.index, episode.episode_id, image.side, image.view, "voi"),
        manufacturer,
    )
    header = _header(client, study, image, picture, size)
    dataset = dicom_dataset(header, manufacturer, mapping, picture.display)
    place = f"{client.client_id}/{study.uid}/{image.sop_uid}"
    content = _damaged(dataset, image.damage)
    if content is not None:
        yield f"IMAGES/{place}.dcm", content
    if image.damage != "sidecar_missing":
        sidecar = sidecar_bytes(dataset)
        if image.damage == "sidecar_broken":
            sidecar = sidecar[: len(sidecar) // 2]
        ending = ".json" if client.older_sidecars else ".dcm.json"
        yield f"DATA/{place}{ending}", sidecar
    rows["images"].append(image_row(client, episode, study, image, manufacturer, mapping, picture))
    if image.purpose == "presentation" and image.shot == "standard":
        rows["lesions"] += lesion_rows(client, image, picture)
        yield f"truth/{client.client_id}/{image.sop_uid}.npz", truth_archive(picture)


def _damaged(dataset: Dataset, damage: str) -> bytes | None:
    """The DICOM file with its damage; None when it is missing."""
    if damage == "image_missing":
        return None
    if damage == "not_dicom":
        return b"<html><body>503 Service Unavailable</body></html>\n"
    if damage == "no_pixels":
        del dataset.PixelData
    if damage == "unknown_syntax":
        set_unknown_syntax(dataset)
    content = file_bytes(dataset)
    if damage == "truncated":
        return content[: len(content) * 2 // 3]
    if damage == "frame_damaged":
        middle = len(content) // 2
        return content[:middle] + bytes(len(content) - middle)
    return content


def _header(
    client: Client, study: Study, image: PlannedImage, picture: Picture, size: str
) -> Header:
    return Header(
        client_id=client.client_id,
        study_uid=study.uid,
        series_uid=image.series_uid,
        sop_uid=image.sop_uid,
        study_date=study.date.strftime("%Y%m%d"),
        age=client.age,
        side=image.side,
        view=image.view,
        purpose=image.purpose,
        shot=image.shot,
        instance=int(image.series_uid.rsplit(".", 1)[1]),
        spacing_mm=SPACINGS_MM[size],
        thickness_mm=client.body.thickness_mm,
        exposure_mas=client.body.exposure_mas,
        labelled=picture.labelled,
    )


def _json(content: Mapping[str, object]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
