"""KerasHub's RetinaNet (Lin et al. 2017, Focal Loss for Dense Object Detection) for mammograms.

KerasHub comes with the extra `detector`. Nothing is downloaded: weights start at random.
"""

import math
from typing import Any

import tensorflow as tf

from cgan_tf.config import DetectorConfig
from cgan_tf.detector.inputs import EXTRA
from cgan_tf.models.keras_setup import keras
from cgan_tf.runs.errors import UserError

BOX_FORMAT = "xyxy"
# RetinaNet's: at the start nearly every anchor is background, and says so.
PRIOR = 0.01
_LOGIT_DEVIATION = 0.01
_DELTA_DEVIATION = 0.05  # of KerasHub's heads
_LARGEST_LOG_SIDE = 4.0  # of a box by its anchor's, about 50 times
_ENCODERS: dict[str, dict[str, Any]] = {
    "resnet18": {"stackwise_num_filters": [64, 128, 256, 512], "stackwise_num_blocks": [2] * 4},
    "resnet50": {
        "stackwise_num_filters": [64, 128, 256, 512],
        "stackwise_num_blocks": [3, 4, 6, 3],
        "block_type": "bottleneck_block",
    },
}


def keras_hub() -> Any:
    """The package; `UserError` with the way to install it where it is missing."""
    try:
        import keras_hub as package
    except ImportError as error:
        raise UserError(f"{EXTRA} ({error})") from error
    return package


def build_detector(config: DetectorConfig) -> keras.Model:
    """A RetinaNet of one class, malignant lesion, on images [B, H, W, 1] in [-1, 1] of any size.

    KerasHub 0.32 starts its heads otherwise than the paper: it gives the prior to the box head,
    whose boxes then start at 1% of their anchors, and none to the classification head. Logits and
    box deltas are float32 whatever the precision: scores of 8 bits would be full of ties.
    """
    hub, shape, dtype = keras_hub(), (None, None, 1), config.precision
    network = _ENCODERS[config.network]
    depth = min(config.max_level, 5) - 1  # level n is the output of stack n - 2
    encoder = hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=network["stackwise_num_filters"][:depth],
        stackwise_num_blocks=network["stackwise_num_blocks"][:depth],
        stackwise_num_strides=[1, 2, 2, 2][:depth],
        block_type=network.get("block_type", "basic_block"),
        image_shape=shape,
        dtype=dtype,
    )
    pyramid = hub.models.RetinaNetBackbone(
        image_encoder=encoder,
        min_level=config.min_level,
        max_level=config.max_level,
        use_p5=False,
        image_shape=shape,
        dtype=dtype,
    )
    anchors = anchors_of(config)
    model = hub.models.RetinaNetObjectDetector(
        backbone=pyramid,
        num_classes=1,
        bounding_box_format=BOX_FORMAT,
        anchor_generator=anchors,
        label_encoder=_label_encoder(anchors, config),
        use_prediction_head_norm=config.head_norm,
        pre_logits_num_conv_layers=config.head_convolutions,
        dtype=dtype,
    )
    for head, bias in (
        (model.classification_head, -math.log((1 - PRIOR) / PRIOR)),
        (model.box_head, 0.0),
    ):
        last = head.prediction_layer
        last.dtype_policy = "float32"
        last.bias.assign(tf.fill(last.bias.shape, bias))
        last.kernel.assign(last.kernel * (_LOGIT_DEVIATION / _DELTA_DEVIATION))
    return model


def anchors_of(config: DetectorConfig) -> Any:
    """KerasHub's anchors at every place of every level."""
    return keras_hub().layers.AnchorGenerator(
        BOX_FORMAT,
        min_level=config.min_level,
        max_level=config.max_level,
        num_scales=config.anchor_scales,
        aspect_ratios=[float(ratio) for ratio in config.aspect_ratios],
        anchor_size=config.anchor_size,
    )


def _label_encoder(anchors: Any, config: DetectorConfig) -> Any:
    # KerasHub does not export it: its module is that of the pinned version.
    from keras_hub.src.models.retinanet.retinanet_label_encoder import RetinaNetLabelEncoder

    return RetinaNetLabelEncoder(
        anchors,
        bounding_box_format=BOX_FORMAT,
        encoding_format="center_xywh",
        positive_threshold=config.positive_iou,
        negative_threshold=config.negative_iou,
    )


def compile_detector(model: keras.Model, config: DetectorConfig, steps: int) -> None:
    """Adam with a step size that rises and falls as a cosine, and RetinaNet's losses."""
    warm_up = round(config.warm_up * steps)
    rate = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 100 if warm_up else config.learning_rate,
        decay_steps=max(1, steps - warm_up),
        warmup_target=config.learning_rate if warm_up else None,
        warmup_steps=warm_up,
        alpha=0.01,
    )
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=config.clip_norm)
    model.compile(optimizer=optimizer, jit_compile=False)
    optimizer.build(model.trainable_variables)  # a checkpoint holds built variables only


def candidate_function(model: keras.Model, config: DetectorConfig, canvas: tuple[int, int]) -> Any:
    """A graph from images [B, H, W, 1] to (boxes [B, k, 4], scores [B, k], counts [B]).

    Boxes are x0, y0, x1, y1 on the canvas, from the highest score down, k = `config.candidates`;
    the first `counts` of them are there. Non-maximum suppression is TensorFlow's: KerasHub's wants
    batches of one size and drops what scores below 0.5.
    """
    anchors = tf.concat(list(model.anchor_generator(tf.zeros((1, *canvas, 1))).values()), axis=0)

    @tf.function(reduce_retracing=True)
    def candidates(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        outputs = model(images, training=False)
        deltas = tf.cast(outputs["bbox_regression"], tf.float32)
        sides = tf.clip_by_value(deltas[..., 2:], -_LARGEST_LOG_SIDE, _LARGEST_LOG_SIDE)
        boxes = keras.utils.bounding_boxes.decode_deltas_to_boxes(
            anchors=anchors,
            boxes_delta=tf.concat([deltas[..., :2], sides], axis=-1),
            anchor_format=BOX_FORMAT,
            box_format=BOX_FORMAT,
            encoded_format="center_xywh",
        )
        kept = tf.image.combined_non_max_suppression(
            boxes[:, :, None],  # [B, anchors, 1, 4]: intersections do not ask which side is x
            tf.sigmoid(tf.cast(outputs["cls_logits"], tf.float32)),
            max_output_size_per_class=config.candidates,
            max_total_size=config.candidates,
            iou_threshold=config.candidate_iou,
            clip_boxes=False,
        )
        return kept.nmsed_boxes, kept.nmsed_scores, kept.valid_detections

    return candidates
